"""``python -m bench.faults.rejudge RUN``: judge a kept history again, without the stack that made it.

What clients were told and what lay in the store is gone with the stack; everything that the history alone shows is held
to its rules once more. Exit code 1 when one is broken.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from bench.faults.checker import check, percentiles, recovery_seconds
from bench.faults.history import load_history
from bench.faults.judging import HISTORY, HURTS


@dataclass(frozen=True, slots=True)
class Hurt:
    """A fault as ``faults.json`` keeps it."""

    kind: str
    at: float
    worker_ids: tuple[str, ...]


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--cut-short", is_flag=True, help="The run was ended early; jobs may be under way.")
def main(run: Path, cut_short: bool) -> None:
    """Judge every history below the folder RUN."""
    held = True
    for path in sorted(run.rglob(HISTORY)):
        history = load_history(path)
        hurts = _hurts(path.with_name("faults.json"))
        verdict = check(history, acknowledged={}, kills=hurts, cut_short=cut_short)
        kills = [hurt for hurt in hurts or () if hurt.kind == "kill"]
        click.echo(f"{path.parent.name}: {verdict}")
        click.echo(f"{path.parent.name}: recovery {percentiles(recovery_seconds(history, kills))}")
        held = held and verdict.held
    sys.exit(0 if held else 1)


def _hurts(path: Path) -> list[Hurt] | None:
    """None where nobody kept them: losses then need no explanation."""
    if not path.exists():
        return None
    told = json.loads(path.read_text())
    return [Hurt(one["kind"], one["at"], tuple(one["worker_ids"])) for one in told if one["kind"] in HURTS]


if __name__ == "__main__":
    main()
