"""What an evaluation tells: figures with their bars, tables, and how to come by them again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure; with a ``bar``, whether it is reached."""

    name: str
    measured: float
    bar: float | None = None
    higher_is_better: bool = False
    unit: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the bar is reached; None where there is none."""
        if self.bar is None:
            return None
        return self.measured >= self.bar if self.higher_is_better else self.measured <= self.bar


@dataclass(frozen=True, slots=True)
class Table:
    """Cases one by one, as text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Report:
    """What one system's evaluation found. notes: data, seeds and whatever a reader must know to judge it."""

    system: str
    figures: Sequence[Figure]
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON data, with ``reached`` beside each figure."""
        return {**asdict(self), "figures": [{**asdict(one), "reached": one.reached} for one in self.figures]}


def as_json_text(report: Report, facts: dict[str, str]) -> str:
    """Return a report as indented JSON. facts: command, machine and date."""
    return json.dumps({**facts, **report.as_json()}, indent=2, ensure_ascii=False) + "\n"


def as_markdown(report: Report, facts: dict[str, str]) -> str:
    """Return a report as a page. facts: command, machine and date."""
    lines = [f"# Evaluation of {report.system}", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    lines += [f"- {note}" for note in report.notes]
    lines += ["", *table_lines(("figure", "measured", "bar", ""), [figure_cells(one) for one in report.figures])]
    for table in report.tables:
        lines += ["", f"## {table.title}", "", *table_lines(table.columns, table.rows)]
    return "\n".join(lines) + "\n"


def table_lines(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    return [
        f"| {' | '.join(columns)} |",
        f"|{' --- |' * len(columns)}",
        *(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows),
    ]


def figure_cells(figure: Figure, *, missed: str = "missed") -> tuple[str, str, str, str]:
    """Return a figure's name, what was measured, its bar, and whether that was reached, as text."""
    unit = f" {figure.unit}" if figure.unit else ""
    sign = "at least" if figure.higher_is_better else "at most"
    bar = "" if figure.bar is None else f"{sign} {figure.bar:g}{unit}"
    verdict = {None: "", True: "reached", False: missed}[figure.reached]
    return figure.name, f"{figure.measured:.4g}{unit}", bar, verdict
