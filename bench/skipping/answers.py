"""How much of the every-frame answer is left when frames are skipped.

Both answers are read frame by frame of the source: a frame that was not sampled has the answer of the last sampled
one before it, as whoever reads the result would take it. The every-frame run keeps 1; the loss is 1 - kept.

detect: F1 of (frame, label) pairs: which things are in which frame. boxes: the same of single boxes, matched by label
and an overlap (intersection over union) of at least 0.5, a stricter question. motion: share of frames for which both
say the same to "does anything move".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
Box = Sequence[float]
OVERLAP = 0.5


def held(rows: Sequence[Row], frames: int) -> list[Row]:
    """Return the row that speaks for each frame of the source: the last at or before it. The first frame has one."""
    found, place = list[Row](), 0
    for index in range(frames):
        if place + 1 < len(rows) and rows[place + 1]["index"] <= index:
            place += 1
        found.append(rows[place])
    return found


def labels_kept(truth: Sequence[Row], told: Sequence[Row]) -> float:
    """Return F1 of (frame, label) pairs; 1 where neither has any."""
    pairs = [({one["label"] for one in a["objects"]}, {one["label"] for one in b["objects"]})
             for a, b in zip(truth, told, strict=True)]  # fmt: skip
    return _f1(sum(len(a & b) for a, b in pairs), sum(len(a) for a, _ in pairs), sum(len(b) for _, b in pairs))


def boxes_kept(truth: Sequence[Row], told: Sequence[Row]) -> float:
    """Return F1 of boxes, each matched at most once, best overlap first come."""
    both = list(zip(truth, told, strict=True))
    right = sum(_matched(a["objects"], b["objects"]) for a, b in both)
    return _f1(right, sum(len(a["objects"]) for a, _ in both), sum(len(b["objects"]) for _, b in both))


def moving_kept(truth: Sequence[Row], told: Sequence[Row]) -> float:
    """Return the share of frames for which both say, or both deny, that something moves."""
    same = [bool(a["objects"]) == bool(b["objects"]) for a, b in zip(truth, told, strict=True)]
    return sum(same) / len(same)


#: by pipeline: name of the answer and how much of it is kept
ANSWERS: Mapping[str, Mapping[str, Callable[[Sequence[Row], Sequence[Row]], float]]] = {
    "detect": {"labels": labels_kept, "boxes": boxes_kept},
    "motion": {"moving": moving_kept},
}


def _f1(right: int, expected: int, given: int) -> float:
    return 2 * right / (expected + given) if expected + given else 1.0


def _matched(expected: Sequence[Mapping[str, Any]], given: Sequence[Mapping[str, Any]]) -> int:
    free = list(given)
    right = 0
    for one in expected:
        alike = [
            (overlap(one["box"], other["box"]), at) for at, other in enumerate(free) if other["label"] == one["label"]
        ]
        best, at = max(alike, default=(0.0, -1))
        if best >= OVERLAP:
            right += 1
            del free[at]
    return right


def overlap(one: Box, other: Box) -> float:
    """Return intersection over union of two boxes [x, y, width, height]."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)
