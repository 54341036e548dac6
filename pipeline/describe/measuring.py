"""How well text was read: character error rate of lines, matched by box or in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Box = Sequence[float]


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """Edits needed to make what was read into the truth, and the truth's characters, both after folding."""

    edits: int
    characters: int

    @property
    def share(self) -> float:
        """Character error rate, 0 is perfect; may be above 1. Nothing to read: 0 if nothing was read, else 1."""
        return self.edits / self.characters if self.characters else float(self.edits > 0)

    def __add__(self, other: ErrorRate) -> ErrorRate:
        return ErrorRate(self.edits + other.edits, self.characters + other.characters)


def fold(text: str) -> str:
    """Return the text without white space and without case."""
    return "".join(text.split()).casefold()


def edit_distance(left: str, right: str) -> int:
    """Return the fewest insertions, deletions and replacements that make one text the other (Levenshtein, 1966)."""
    before = list(range(len(right) + 1))
    for row, mark in enumerate(left, 1):
        current = [row]
        for column, other in enumerate(right, 1):
            current.append(min(before[column] + 1, current[-1] + 1, before[column - 1] + (mark != other)))
        before = current
    return before[-1]


def by_box(truth: Sequence[tuple[str, Box]], read: Sequence[tuple[str, Box]]) -> ErrorRate:
    """Compare what was read with true lines, each (text, [x, y, width, height]).

    A piece belongs to the true line that covers most of it, at least a third; the pieces of a line are joined from left
    to right. Pieces that belong to none count as insertions, true lines without a piece as deletions.
    """
    pieces: list[list[tuple[float, str]]] = [[] for _ in truth]
    edits = 0
    for text, box in read:
        shares = [covered(box, line) for _, line in truth]
        best = max(range(len(shares)), key=shares.__getitem__, default=None)
        if best is None or shares[best] < 1 / 3:
            edits += len(fold(text))
        else:
            pieces[best].append((box[0], text))
    for (text, _), found in zip(truth, pieces, strict=True):
        edits += edit_distance(fold(text), fold("".join(piece for _, piece in sorted(found))))
    return ErrorRate(edits, sum(len(fold(text)) for text, _ in truth))


def in_order(truth: Sequence[str], read: Sequence[str], *, folding: Callable[[str], str] = fold) -> ErrorRate:
    """Compare lines without boxes: both in reading order, each paired with one of the other or with none.

    The pairing is the one with the fewest edits that keeps the order; a line without a partner costs its length.
    folding: what is not to count; ``str`` leaves case and spaces in.
    """
    left, right = [folding(line) for line in truth], [folding(line) for line in read]
    before = [0]
    for line in right:
        before.append(before[-1] + len(line))
    for line in left:
        current = [before[0] + len(line)]
        for column, other in enumerate(right, 1):
            pair = before[column - 1] + edit_distance(line, other)
            current.append(min(pair, before[column] + len(line), current[-1] + len(other)))
        before = current
    return ErrorRate(before[-1], sum(map(len, left)))


def covered(box: Box, by: Box) -> float:
    """Return which share of a box, [x, y, width, height], another covers."""
    width = min(box[0] + box[2], by[0] + by[2]) - max(box[0], by[0])
    height = min(box[1] + box[3], by[1] + by[3]) - max(box[1], by[1])
    area: Any = box[2] * box[3]
    return float(width * height / area) if width > 0 and height > 0 and area > 0 else 0.0
