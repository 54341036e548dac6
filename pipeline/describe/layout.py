"""Reading order: pieces of text become lines, lines become blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.describe.pieces import Piece, Text, box_of

#: two pieces stand in one line where they share this part of the lower one's height
SAME_LINE = 0.5
#: and where nothing wider than so many line heights is between them; wider gaps are columns
COLUMN_GAP = 12.0
#: a line goes on a block where it comes within so many line heights under the line before
BLOCK_GAP = 0.9


@dataclass(frozen=True, slots=True)
class _Placed:
    """A piece and where it stands once the page is upright and straight: left, top, right, bottom."""

    piece: Piece
    left: float
    top: float
    right: float
    bottom: float

    @property
    def height(self) -> float:
        return self.bottom - self.top


def lines_of(text: Text, scale: float) -> list[dict[str, Any]]:
    """Return a picture's lines in reading order as JSON data.

    Each: text, score (mean of its pieces by length), box [x, y, width, height], quad (four corners in reading order),
    angle (degrees clockwise), block (0, 1, ...: lines of one paragraph or column share it), pieces (text, score, box;
    only where there are several). scale: image width / source width; places are in source pixels.
    """
    rows = _rows(_upright(text))
    blocks = _blocks(rows)
    order = sorted(range(len(rows)), key=lambda place: (blocks[place], rows[place][0].top, rows[place][0].left))
    return [_line(rows[place], blocks[place], scale) for place in order]


def joined(lines: Sequence[dict[str, Any]]) -> str:
    """Return lines as one text: a line break after each, an empty line between blocks."""
    told: list[str] = []
    for place, line in enumerate(lines):
        if place and line.get("block") != lines[place - 1].get("block"):
            told.append("")
        told.append(line["text"])
    return "\n".join(told)


def _upright(text: Text) -> list[_Placed]:
    """Turn the page upright and straight: by its quarters, then by the median tilt of its longer half."""
    if not text.pieces:
        return []
    pieces = sorted(text.pieces, key=lambda piece: -piece.width)
    angles = np.array([piece.angle for piece in pieces[: max(1, len(pieces) // 2)]])
    first = angles[0]
    turn = first + float(np.median((angles - first + 180) % 360 - 180))
    back = np.radians(-turn)
    rotation = np.array([[np.cos(back), -np.sin(back)], [np.sin(back), np.cos(back)]])
    return [_placed(piece, rotation) for piece in text.pieces]


def _placed(piece: Piece, rotation: NDArray[np.float64]) -> _Placed:
    corners = piece.quad @ rotation.T
    # the middle of each edge, so that a piece with a little tilt of its own is no higher than its text
    middle = (corners + np.roll(corners, -1, axis=0)) / 2
    left, top, width, height = box_of(middle)
    return _Placed(piece, left, top, left + width, top + height)


def _rows(placed: Sequence[_Placed]) -> list[list[_Placed]]:
    """Gather pieces that stand side by side in one line; each line from left to right."""
    rows: list[list[_Placed]] = []
    for one in sorted(placed, key=lambda one: (one.left, one.top)):
        fitting = [row for row in rows if _continues(row[-1], one)]
        if fitting:
            min(fitting, key=lambda row: one.left - row[-1].right).append(one)
        else:
            rows.append([one])
    return rows


def _continues(last: _Placed, one: _Placed) -> bool:
    shared = min(last.bottom, one.bottom) - max(last.top, one.top)
    low = min(last.height, one.height)
    alike = max(last.height, one.height) <= 2 * low
    gap = one.left - last.right
    return bool(alike and shared >= SAME_LINE * low and -low <= gap <= COLUMN_GAP * low)


def _blocks(rows: Sequence[Sequence[_Placed]]) -> list[int]:
    """Return each line's block; blocks are numbered from the top, those at one height from the left."""
    order = sorted(range(len(rows)), key=lambda place: (rows[place][0].top, rows[place][0].left))
    blocks: list[list[int]] = []
    for place in order:
        fitting = [block for block in blocks if _below(rows[block[-1]], rows[place])]
        if fitting:
            min(fitting, key=lambda block: abs(rows[block[-1]][0].left - rows[place][0].left)).append(place)
        else:
            blocks.append([place])
    numbers = [0] * len(rows)
    for number, block in enumerate(_column_order(blocks, rows)):
        for place in block:
            numbers[place] = number
    return numbers


def _column_order(blocks: Sequence[list[int]], rows: Sequence[Sequence[_Placed]]) -> list[list[int]]:
    """Order blocks: one comes before another that begins under its end, else the left one comes first."""
    left = list(blocks)
    ordered: list[list[int]] = []
    while left:
        first = min(left, key=lambda block: (rows[block[0]][0].top, rows[block[0]][0].left))
        top, bottom = rows[first[0]][0].top, rows[first[-1]][0].bottom
        # blocks that stand beside the topmost one and further left are columns before it
        beside = [one for one in left if rows[one[0]][0].top < bottom and rows[one[-1]][0].bottom > top]
        taken = min(beside, key=lambda block: (min(rows[place][0].left for place in block), rows[block[0]][0].top))
        ordered.append(taken)
        left.remove(taken)
    return ordered


def _below(upper: Sequence[_Placed], lower: Sequence[_Placed]) -> bool:
    height = min(upper[0].height, lower[0].height)
    gap = lower[0].top - upper[0].bottom
    shared = min(upper[-1].right, lower[-1].right) - max(upper[0].left, lower[0].left)
    alike = max(upper[0].height, lower[0].height) <= 1.6 * height
    return bool(alike and -0.6 * height <= gap <= BLOCK_GAP * height and shared > 0)


def _line(row: Sequence[_Placed], block: int, scale: float) -> dict[str, Any]:
    pieces = [one.piece for one in row]
    lengths = [max(len(piece.text), 1) for piece in pieces]
    score = sum(piece.score * length for piece, length in zip(pieces, lengths, strict=True)) / sum(lengths)
    quad = np.stack([pieces[0].quad[0], pieces[-1].quad[1], pieces[-1].quad[2], pieces[0].quad[3]]) / scale
    box = box_of(np.concatenate([piece.quad for piece in pieces]) / scale)
    line: dict[str, Any] = {
        "text": " ".join(piece.text for piece in pieces),
        "score": round(score, 4),
        "box": [round(value, 1) for value in box],
        "quad": [[round(x, 1), round(y, 1)] for x, y in quad.tolist()],
        "angle": round(max(pieces, key=lambda piece: piece.width).angle, 1),
        "block": block,
    }
    if len(pieces) > 1:
        line["pieces"] = [
            {
                "text": piece.text,
                "score": piece.score,
                "box": [round(value, 1) for value in box_of(piece.quad / scale)],
            }
            for piece in pieces
        ]
    return line
