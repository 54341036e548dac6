"""What a pipeline wants to be seen: marks drawn on a frame, and moments worth a thumbnail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: x, y, width, height in source pixels
Box = tuple[float, float, float, float]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Mark:
    """One thing drawn on a frame.

    kind: ``box`` has two points (upper left, lower right), ``polygon`` is closed, ``line`` is open, ``points`` are
    dots, ``text`` stands at its one point. points: source pixels; what lies outside the picture is cut off. text: said
    beside it. group: marks of one group have one colour, the same on every frame (a label, a track).
    """

    kind: Literal["box", "polygon", "line", "points", "text"]
    points: tuple[Point, ...]
    text: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame worth keeping as a thumbnail: the row's ``index``, what to cut out of it, and why."""

    index: int
    caption: str
    box: Box | None = None


def box_mark(box: Box | list[float], text: str = "", group: str = "") -> Mark:
    """Return the mark of a box as rows hold it: x, y, width, height."""
    x, y, width, height = box
    return Mark("box", ((x, y), (x + width, y + height)), text, group or text)
