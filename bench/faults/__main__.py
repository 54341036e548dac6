"""``python -m bench.faults``: run scenarios, tell what was hurt and what held; exit code 1 when a bar is missed."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType

import click

from bench.faults.scenario import Outcome, Scenario, UnknownScenario, chosen
from bench.faults.world import Terms, World


@click.command()
@click.option("--seed", default=1, show_default=True, help="Chance: who is hurt, and when.")
@click.option("--scale", default=1.0, show_default=True, help="Size of the scenarios; 1: what the bars speak of.")
@click.option("--minutes", type=float, help="How long faults go on in scenarios that run for a time.")
@click.option("--faults", default="", help="Scenarios, separated by commas; all unless given.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Folder for history, verdict and figures.")
def main(seed: int, scale: float, minutes: float | None, faults: str, out: Path | None) -> None:
    """Hurt a stack on purpose and see what it keeps of its promises."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        scenarios = chosen(faults)
    except UnknownScenario as error:
        raise click.BadParameter(str(error), param_hint="--faults") from error
    terms = Terms(seed, scale, minutes)
    outcomes = [_run(scenario, terms) for scenario in scenarios]
    sys.exit(0 if all(outcome.passed for outcome in outcomes) else 1)


def _run(scenario: Scenario, terms: Terms) -> Outcome:
    click.echo(f"{scenario.name}: {scenario.fault}")
    with World(scenario.name, terms) as world:
        try:
            outcome = scenario.run(world)
        except AssertionError as error:
            outcome = Outcome(False, note=str(error))
    click.echo(f"{'passed' if outcome.passed else 'MISSED'}  {scenario.bar}: {dict(outcome.figures)}  {outcome.note}")
    return outcome


def _stop(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
