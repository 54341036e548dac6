"""Running one scenario: its world, its bar, the verdict on its history, and the files it leaves."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bench.faults.checker import Verdict
from bench.faults.judging import judge
from bench.faults.results import Result, machine, write
from bench.faults.scenario import Outcome, Scenario
from bench.faults.world import Terms, World
from deploy.local.home import REPOSITORY


def run_one(scenario: Scenario, terms: Terms, out: Path) -> Result:
    """Run it and judge it; whatever becomes of it, nothing that it started is left."""
    out.mkdir(parents=True, exist_ok=True)
    click.echo(f"{scenario.name} (seed {terms.seed}): {scenario.fault}")
    taken_on, date, begun = machine(), datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), time.monotonic()
    with World(scenario.name, terms) as world:
        outcome, verdict = _played(scenario, world, out)
        _write(out / "verdict.json", verdict.as_json() if verdict else {"held": False, "counts": {}, "broken": {}})
        _write(out / "faults.json", [asdict(injection) for injection in world.injected])
        if not outcome.passed or verdict is None or not verdict.held:
            _keep_logs(world, out)
    result = Result(
        scenario=scenario.name,
        fault=scenario.fault,
        bar=scenario.bar,
        passed=outcome.passed and verdict is not None and verdict.held,
        figures=dict(outcome.figures),
        note=outcome.note,
        broken=dict(verdict.broken) if verdict else {},
        counts=dict(verdict.counts) if verdict else {},
        seed=terms.seed,
        scale=terms.scale,
        minutes=round((time.monotonic() - begun) / 60, 1),
        date=date,
        machine=taken_on,
        revision=_revision(),
    )
    write(result, out)
    return result


def _played(scenario: Scenario, world: World, out: Path) -> tuple[Outcome, Verdict | None]:
    """A bar that is missed does not spare the history from being judged, if there is a database to ask."""
    try:
        outcome = scenario.run(world)
    except AssertionError as error:
        outcome = Outcome(False, note=str(error) or repr(error))
    except Exception as error:  # noqa: BLE001 - a fault of the scenario itself must not cost the others their turn
        traceback.print_exc()
        outcome = Outcome(False, note=f"the scenario itself failed: {error!r}")
    world.say("passed" if outcome.passed else f"MISSED: {scenario.bar}; {outcome.note}")
    try:
        world.load.abandon()
        verdict = judge(world, out)
    except Exception as error:  # noqa: BLE001 - a stack that cannot be asked any more is a result, too
        world.say(f"not judged: {error!r}")
        return outcome, None
    world.say(str(verdict))
    return outcome, verdict


def _keep_logs(world: World, out: Path) -> None:
    try:
        shutil.copytree(world.stack.home.logs, out / "logs", dirs_exist_ok=True)
    except (AssertionError, OSError) as error:
        world.say(f"no logs were kept: {error!r}")


def _write(path: Path, data: Mapping[str, Any] | list[Any]) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n")


def _revision() -> str:
    """What was run; a checkout with changes says so."""
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=10, check=False)
    return done.stdout.strip() or "unknown"
