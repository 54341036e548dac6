"""Which box of one frame is the same thing as which box of the frames before."""

from __future__ import annotations

from collections.abc import Sequence, Set

import numpy as np
from numpy.typing import NDArray

#: x, y, width, height
Box = Sequence[float]
Matrix = NDArray[np.float64]
#: times are compared in whole microseconds: 8.3 - 7.3 is more than 1 in floating point
_TICKS = 1_000_000


class Tracker:
    """Give boxes of one moment after another the ids of the things they show; a pure function of what it was told.

    Each step matches the boxes with the tracks still alive so that the sum of intersection over union is largest
    (an exact assignment: in a row of like things that moved together, taking the best pair first would shift every id
    by one place and count one thing too many). A pair needs the same label and ``min_iou``. There is no motion model:
    what moves further than its own size between two frames is a new thing, and two things that lie exactly on one
    another may swap ids, but never share one.

    Memory holds the tracks seen in the last ``max_gap_seconds``, whatever the video's length.
    """

    def __init__(self, *, min_iou: float = 0.3, max_gap_seconds: float = 1.0) -> None:
        """max_gap_seconds: a thing not seen for longer gets a new id, so it must exceed the time between two steps."""
        if not 0 < min_iou <= 1:
            raise ValueError("min_iou must be above 0 and at most 1")
        self._min_iou = min_iou
        self._max_gap = round(max_gap_seconds * _TICKS)
        self._seconds = -np.inf
        self._next = 0
        #: id -> (ticks when last seen, label, box then); ids rise
        self._tracks: dict[int, tuple[int, str, Box]] = {}

    @property
    def alive(self) -> Set[int]:
        """The ids that the next step may give again unless too much time passes until then."""
        return self._tracks.keys()

    def step(self, seconds: float, boxes: Sequence[Box], labels: Sequence[str]) -> list[int]:
        """Return the track id of each box: 0, 1, 2 ... in order of first appearance, no two boxes of a step alike.

        seconds: when the boxes were seen, never before the last step. boxes: [x, y, width, height], any one unit.
        Raises: ValueError when time goes back or there is not one label per box.
        """
        if seconds < self._seconds:
            raise ValueError(f"time goes back from {self._seconds} to {seconds}")
        if len(boxes) != len(labels):
            raise ValueError(f"{len(boxes)} boxes, {len(labels)} labels")
        self._seconds = seconds
        now = round(seconds * _TICKS)
        self._tracks = {track: seen for track, seen in self._tracks.items() if now - seen[0] <= self._max_gap}
        found = self._match(boxes, labels)
        ids = []
        for box, label, known in zip(boxes, labels, found, strict=True):
            track = known
            if track is None:
                track, self._next = self._next, self._next + 1
            self._tracks[track] = (now, label, tuple(box))
            ids.append(track)
        return ids

    def _match(self, boxes: Sequence[Box], labels: Sequence[str]) -> list[int | None]:
        """Return the living track that each box belongs to, None for a new thing."""
        tracks = sorted(self._tracks)
        if not boxes or not tracks:
            return [None] * len(boxes)
        gain = overlaps(boxes, [self._tracks[track][2] for track in tracks])
        alike = np.array([[label == self._tracks[track][1] for track in tracks] for label in labels])
        gain[~alike | (gain < self._min_iou)] = 0.0
        chosen = assign(gain)
        gain = np.concatenate([gain, np.zeros((len(boxes), len(boxes)))], axis=1)  # places past the last track
        return [tracks[column] if gain[row, column] > 0 else None for row, column in enumerate(chosen)]


def overlaps(boxes: Sequence[Box], others: Sequence[Box]) -> Matrix:
    """Return intersection over union of each box with each other one: float64, (boxes, others); boxes x, y, w, h."""
    one = np.asarray(boxes, dtype=np.float64).reshape(-1, 1, 4)
    two = np.asarray(others, dtype=np.float64).reshape(1, -1, 4)
    low = np.maximum(one[..., :2], two[..., :2])
    high = np.minimum(one[..., :2] + one[..., 2:], two[..., :2] + two[..., 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = one[..., 2:].prod(axis=2) + two[..., 2:].prod(axis=2)
    return np.asarray(shared / np.maximum(areas - shared, 1e-9), dtype=np.float64)


def assign(gain: Matrix) -> list[int]:
    """Return one column per row so that the sum of ``gain`` is largest and no column is used twice.

    gain: float64, (n, m), 0 or more; a row that gets no column of use gets one with gain 0, or a place past the last
    column. The Hungarian method by shortest augmenting paths (Jonker and Volgenant 1987), O(n^2 m).
    """
    rows, columns = gain.shape
    # A spare column of gain 0 for each row: every row can stay alone, so a solution always exists.
    cost = np.concatenate([-gain, np.zeros((rows, rows))], axis=1)
    row_price, column_price = np.zeros(rows), np.zeros(columns + rows)
    owner = np.full(columns + rows, -1)
    for first in range(rows):
        distance = np.full(columns + rows, np.inf)
        before = np.full(columns + rows, -1)
        visited = np.zeros(columns + rows, dtype=bool)
        row, reached, here = first, 0.0, -1
        while row >= 0:
            step = reached + cost[row] - row_price[row] - column_price
            nearer = ~visited & (step < distance)
            distance[nearer], before[nearer] = step[nearer], here
            here = int(np.argmin(np.where(visited, np.inf, distance)))
            reached, visited[here], row = float(distance[here]), True, int(owner[here])
        # Prices change by how much shorter than the whole path each visited column was reached.
        saved = reached - distance[visited]
        column_price[visited] -= saved
        owned = owner[visited]
        row_price[owned[owned >= 0]] += saved[owned >= 0]
        row_price[first] += reached
        while here >= 0:
            previous = int(before[here])
            owner[here] = owner[previous] if previous >= 0 else first
            here = previous
    chosen = [0] * rows
    for column in np.flatnonzero(owner >= 0):
        chosen[owner[column]] = int(column)
    return chosen
