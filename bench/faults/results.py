"""What a run leaves: figures for people and for the table of docs/guarantees.md, the verdict, the history."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).parent / "figures"


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario, run once."""

    scenario: str
    fault: str
    bar: str
    passed: bool
    figures: Mapping[str, Any]
    note: str
    #: rules of the checker -> how often they were broken; empty: every promise was kept
    broken: Mapping[str, int]
    #: what the checker counted: jobs, executions, lost, refused, ...
    counts: Mapping[str, int]
    seed: int
    scale: float
    minutes: float
    date: str
    machine: str
    revision: str


def machine() -> str:
    """What it ran on, and what else was going on there."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{os.cpu_count()} cores ({model}), load {os.getloadavg()[0]:.1f} before"


def write(result: Result, folder: Path) -> None:
    """Keep the figures beside what else the run left."""
    (folder / "figures.json").write_text(json.dumps(asdict(result), indent=2) + "\n")


def read_all(folder: Path = FIGURES) -> list[Result]:
    """Every result that is kept in the repository, by name."""
    return [Result(**json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]


def told(figures: Mapping[str, Any]) -> str:
    """Figures as one line: ``jobs 5000, recovery seconds p50 0.1 p99 2.3``."""
    return ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in figures.items())


def table(results: Iterable[Result]) -> str:
    """Aligned columns for a terminal: name, passed, bar, figures."""
    rows: list[Sequence[str]] = [("scenario", "", "bar", "figures")]
    for result in results:
        broken = f"; BROKEN {_value(result.broken)}" if result.broken else ""
        note = f"; {result.note.splitlines()[0]}" if result.note and not result.passed else ""
        word = "passed" if result.passed else "MISSED"
        rows.append((result.scenario, word, result.bar, told(result.figures) + broken + note))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = []
    for name, word, bar, figures in rows:
        lines.append(f"{name:<{widths[0]}}  {word:<{widths[1]}}  {bar}")
        if name != "scenario":
            lines.append(f"{'':<{widths[0]}}  {'':<{widths[1]}}  {figures}")
    return "\n".join(lines[1:])


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name} {_value(one)}" for name, one in value.items()) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
