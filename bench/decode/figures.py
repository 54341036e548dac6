"""One measured figure and the bar it is held to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    measured: the median where there were repetitions, in ``unit`` ("x" is a ratio to the decode limit).
    spread: half the distance between the lowest and the highest repetition, in ``unit``.
    bar: what it must reach; stretch: what would be better. gate: False for what is only reported.
    """

    name: str
    measured: float
    bar: float | None
    stretch: float | None = None
    higher_is_better: bool = False
    unit: str = "x"
    spread: float | None = None
    gate: bool = True

    @property
    def ok(self) -> bool:
        """Whether the bar is reached; always, where there is none or it is no gate."""
        return not self.gate or self.bar is None or self.reaches(self.bar)

    def reaches(self, bar: float) -> bool:
        """Say whether the measured value is as good as ``bar``."""
        return self.measured >= bar if self.higher_is_better else self.measured <= bar

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {**asdict(self), "ok": self.ok}


def table(figures: Iterable[Figure]) -> str:
    """Return the figures as lines for people."""
    lines = [f"{'figure':<58} {'measured':>14} {'bar':>9} {'stretch':>8}"]
    for one in figures:
        spread = f" ±{one.spread:.2g}" if one.spread is not None else ""
        measured = f"{one.measured:.3g}{spread} {one.unit}"
        sign = ">=" if one.higher_is_better else "<="
        bar = f"{sign} {one.bar:g}" if one.bar is not None else ""
        stretch = f"{one.stretch:g}" if one.stretch is not None else ""
        lines.append(f"{one.name:<58} {measured:>14} {bar:>9} {stretch:>8}  {_verdict(one)}")
    return "\n".join(lines)


def _verdict(one: Figure) -> str:
    if one.bar is None:
        return ""
    if not one.reaches(one.bar):
        return "MISSED" if one.gate else "below the bar, not a gate"
    return "stretch" if one.stretch is not None and one.reaches(one.stretch) else "ok"
