"""What is known of one picture before anything is said of it: things, and lines of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: x, y, width, height
Box = Sequence[float]


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture: a row of the pipeline, and the picture's size in source pixels.

    things: label, score, box, colour ({"name", "share", "also"?} or None), source (detector or shape). lines: as
    ``layout.lines_of`` makes them.
    """

    things: Sequence[Mapping[str, Any]]
    lines: Sequence[Mapping[str, Any]]
    width: float
    height: float


def middle(box: Box) -> tuple[float, float]:
    """Return the middle of a box, (x, y)."""
    return box[0] + box[2] / 2, box[1] + box[3] / 2


def place_of(box: Box, width: float, height: float) -> str:
    """Return where the middle of a box is in a picture, by thirds: "top left", "left", "centre", "bottom right" ..."""
    x, y = middle(box)
    across = "left" if x < width / 3 else "right" if x > 2 * width / 3 else ""
    down = "top" if y < height / 3 else "bottom" if y > 2 * height / 3 else ""
    return " ".join(word for word in (down, across) if word) or "centre"


def is_beside(box: Box, side: str, other: Box) -> bool:
    """Say whether a box's middle is on a side (left, right, above, below) of another's, and rather there than across.

    That is: its distance on that axis is at least half of the one on the other axis.
    """
    (x, y), (other_x, other_y) = middle(box), middle(other)
    across, down = x - other_x, y - other_y
    along, off = {"left": (-across, down), "right": (across, down), "above": (-down, across), "below": (down, across)}[
        side
    ]
    return along > 0 and 2 * along >= abs(off)


def evidence_of(thing: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stands behind an answer: label, score and box, and the colour's name where there is one."""
    told = {"label": thing["label"], "score": thing["score"], "box": thing["box"]}
    return {**told, "colour": thing["colour"]["name"]} if thing.get("colour") else told


def text_evidence(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return a line of text as evidence: text, score and box."""
    return {"text": line["text"], "score": line["score"], "box": line["box"]}
