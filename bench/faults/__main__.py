"""``python -m bench.faults``: run scenarios, tell what was hurt and what held; exit code 1 when a bar is missed.

``python -m bench.faults list`` names the scenarios; ``report`` writes the table of docs/guarantees.md.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from types import FrameType

import click

from bench.faults import report, results
from bench.faults.running import run_one
from bench.faults.scenario import UnknownScenario, chosen, registry
from bench.faults.world import Terms


@click.group(invoke_without_command=True)
@click.option("--seed", default=1, show_default=True, help="Chance: who is hurt, and when.")
@click.option("--scale", default=1.0, show_default=True, help="Size of the scenarios; 1: what the bars speak of.")
@click.option("--minutes", type=float, help="How long faults go on in scenarios that run for a time.")
@click.option("--faults", default="", help="Scenarios, separated by commas; all unless given.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Folder for history, verdict and figures.")
@click.pass_context
def main(
    context: click.Context, seed: int, scale: float, *, minutes: float | None, faults: str, out: Path | None
) -> None:
    """Hurt a stack on purpose and see what it keeps of its promises."""
    if context.invoked_subcommand is not None:
        return
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell has started us in the background
    try:
        scenarios = chosen(faults)
    except UnknownScenario as error:
        raise click.BadParameter(str(error), param_hint="--faults") from error
    folder = out or Path(tempfile.mkdtemp(prefix="framequeue-faults-"))
    found = [run_one(scenario, Terms(seed, scale, minutes), folder / scenario.name) for scenario in scenarios]
    click.echo(f"\n{results.table(found)}\n\nhistories, verdicts and figures: {folder}")
    click.echo(json.dumps([asdict(result) for result in found]))
    sys.exit(0 if all(result.passed for result in found) else 1)


@main.command("list")
def list_scenarios() -> None:
    """Name every scenario, its fault and its bar."""
    for scenario in registry().values():
        click.echo(f"{scenario.name:<18} {scenario.fault}\n{'':<18} {scenario.bar}")


@main.command("report")
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path, exists=True))
def write_report(runs: tuple[Path, ...]) -> None:
    """Take over the figures of runs (their folders), and write the table of docs/guarantees.md."""
    for run in runs:
        for path in run.rglob("figures.json"):
            click.echo(f"kept {report.keep(path).name}")
    click.echo("docs/guarantees.md was changed" if report.rewrite() else "docs/guarantees.md is up to date")


def _stop(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
