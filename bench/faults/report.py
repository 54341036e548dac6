"""The table of docs/guarantees.md, written between its markers from the figures kept in the repository."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from bench.faults.results import FIGURES, Result, read_all, told
from bench.faults.scenario import registry
from deploy.local.home import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "guarantees.md"
BEGIN = "<!-- measured: begin; python -m bench.faults report -->"
END = "<!-- measured: end -->"


def keep(figures: Path) -> Path:
    """Take the figures of a run over into the repository; a soak is kept once for each seed."""
    data = json.loads(figures.read_text())
    name = f"{data['scenario']}-{data['seed']}" if data["scenario"] == "soak" else data["scenario"]
    FIGURES.mkdir(exist_ok=True)
    return Path(shutil.copyfile(figures, FIGURES / f"{name}.json"))


def rewrite(document: Path = DOCUMENT) -> bool:
    """Write the table; return whether the document was changed."""
    text = document.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    fresh = f"{head}{BEGIN}\n{render(read_all())}\n{END}{tail}"
    document.write_text(fresh)
    return fresh != text


def render(results: list[Result]) -> str:
    """The table; scenarios without figures stand at its end, so that nothing is passed over in silence."""
    lines = ["| scenario | fault | bar | measured | seed, date |", "|---|---|---|---|---|"]
    lines += [_row(result) for result in results]
    measured = {result.scenario for result in results}
    for scenario in registry().values():
        if scenario.name not in measured:
            told_so = f"{_sentence(scenario.fault)} | {_sentence(scenario.bar)}"
            lines.append(f"| `{scenario.name}` | {told_so} | not run at full size yet | |")
    machines = sorted({result.machine.partition(", load")[0] for result in results})
    return "\n".join(lines) + (f"\n\nMachine: {'; '.join(machines)}." if machines else "")


def _row(result: Result) -> str:
    word = "" if result.passed else "**missed**; "
    broken = f"**broken: {told(result.broken)}**; " if result.broken else ""
    scale = "" if result.scale == 1 else f", at {result.scale:g} of the size"
    load = result.machine.partition(", load ")[2].partition(" ")[0]
    when = f"{result.seed}, {result.date.partition(' ')[0]}{scale}, load {load}"
    what = f"{_sentence(result.fault)} | {_sentence(result.bar)}"
    return f"| `{result.scenario}` | {what} | {word}{broken}{told(result.figures)} | {when} |"


def _sentence(text: str) -> str:
    """With a capital, without a full stop, as cells of a table are."""
    return text[:1].upper() + text[1:].rstrip(".")
