"""The adaptive rule: a candidate is kept where the picture has changed since the last kept frame.

A picture is compared by its cells: single luma values on a grid of about 128 x 72 points. Compression noise changes few
of them by more than ``CHANGED_LEVELS``; the share of those that did is what the threshold is held against.

Where the rule starts afresh is fixed by the packet index alone: at anchors, keyframes at least ``max_gap_seconds``
apart. The first candidate from an anchor on is always kept, so what is kept between two anchors depends on nothing
outside of them, and a video cut at anchors gives the same frames as the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.media import PacketIndex

#: uint8, (rows, columns), luma on a grid of points
Cells: TypeAlias = NDArray[np.uint8]

#: grey levels by which a cell must differ to count as changed; 25 misses slow dim motion, less counts compression noise
CHANGED_LEVELS = 15
#: what a first pass may choose from, lowest first; neighbours differ by 9 %
THRESHOLDS = tuple(float(f"{value:.4g}") for value in np.geomspace(0.0005, 0.9, 88))


@dataclass(frozen=True, slots=True)
class Rule:
    """The numbers of the rule: a share of changed cells (0..1) and two times in seconds."""

    threshold: float
    min_gap_seconds: float
    max_gap_seconds: float

    @classmethod
    def of(cls, values: Mapping[str, float]) -> Rule:
        """Return the rule that a sampler's or request's fields name; others are passed over."""
        return cls(*(float(values[name]) for name in ("threshold", "min_gap_seconds", "max_gap_seconds")))

    def as_json(self) -> dict[str, float]:
        """Return plain JSON data, as ``of`` takes it."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


class Gate:
    """Decides on candidates told in rising order, the first one at an anchor or the first of the input.

    Pure but for what it remembers: the last kept frame since the last anchor.
    """

    def __init__(self, rule: Rule, index: PacketIndex) -> None:
        self._threshold = rule.threshold
        unit = float(index.time_base)
        # half a unit less, as containers round timestamps
        self._min_gap = min(rule.min_gap_seconds, rule.max_gap_seconds) / unit - 0.5
        self._max_gap = rule.max_gap_seconds / unit - 0.5
        self._pts = index.pts
        self._anchors = anchors(index, rule.max_gap_seconds)
        self._fresh_from = 0
        self._kept_pts = 0
        self._kept: _Kept | None = None

    def keeps(self, place: int, look: Callable[[], Cells]) -> bool:
        """Return whether this candidate is kept; ``look`` is called only where its cells are needed."""
        pts = int(self._pts[place])
        if self._kept is None or place >= self._fresh_from:
            self._fresh_from = self._anchor_after(place)
            cells = look()
        else:
            gap = pts - self._kept_pts
            if gap < self._min_gap:
                return False
            cells = look()
            if gap < self._max_gap and self._kept.changed_share(cells) <= self._threshold:
                return False
        self._kept_pts, self._kept = pts, _Kept(cells)
        return True

    def _anchor_after(self, place: int) -> int:
        number = int(np.searchsorted(self._anchors, place, side="right"))
        return int(self._anchors[number]) if number < len(self._anchors) else len(self._pts)


class _Kept:
    """The cells of a kept frame, as bounds: what lies between them has not changed.

    Between two frames the decoder sweeps the caches, so each call of a library is dear: bounds save one of three.
    """

    def __init__(self, cells: Cells) -> None:
        self._shape = cells.shape
        levels = _levels(cells.shape)  # cv2 ends at 0 and 255; numpy needs four calls for that
        self._low, self._high = cv2.subtract(cells, levels), cv2.add(cells, levels)

    def changed_share(self, cells: Cells) -> float:
        if cells.shape != self._shape:
            return 1.0
        return (cells.size - cv2.countNonZero(cv2.inRange(cells, self._low, self._high))) / cells.size


@lru_cache(maxsize=8)
def _levels(shape: tuple[int, ...]) -> Cells:
    return np.full(shape, CHANGED_LEVELS, np.uint8)


def changed_share(one: Cells, other: Cells) -> float:
    """Return the share of cells that differ by more than CHANGED_LEVELS, 0..1; 1 where the sizes differ."""
    return _Kept(other).changed_share(one)


def anchors(index: PacketIndex, max_gap_seconds: float) -> NDArray[np.int64]:
    """Return the places at which the rule starts afresh: int64, rising, 0 first, then keyframes.

    Each is the first keyframe at least ``max_gap_seconds`` after the one before.
    """
    keys = np.flatnonzero(index.key)
    times, gap = index.pts[keys], max_gap_seconds / float(index.time_base) - 0.5
    found = [0]
    while len(index):
        later = int(np.searchsorted(times, index.pts[found[-1]] + gap))
        after = max(later, int(np.searchsorted(keys, found[-1], side="right")))
        if after >= len(keys):
            break
        found.append(int(keys[after]))
    return np.array(found, np.int64)


def starts_at_anchors(index: PacketIndex, max_gap_seconds: float) -> PacketIndex:
    """Return the index with only its anchors as keys: where an adaptively sampled video may be cut."""
    key = np.zeros(len(index), np.bool_)
    key[anchors(index, max_gap_seconds)] = True
    return PacketIndex(index.pts, key & index.key, index.time_base, index.timed)


def lead_in(
    index: PacketIndex,
    candidates: NDArray[np.int64],
    low: int,
    max_gap_seconds: float,
    *,
    frames: int,
    seconds: float,
) -> int:
    """Return the number of the candidate with which a range must begin whose first own candidate has number ``low``.

    From there on at least ``frames`` candidates before the range are sure to be kept, whatever the pictures show: the
    first of each anchor and one each ``max_gap_seconds``. It lies at an anchor, ``seconds`` before the range.
    """
    heads = np.unique(np.searchsorted(candidates, anchors(index, max_gap_seconds)))
    number = int(np.searchsorted(heads, low, side="right")) - 1
    if low >= len(candidates) or number < 0:
        return low
    times = index.seconds[candidates]
    # half a unit more, as the gate counts: it keeps no later than is counted here
    gap, wanted = max_gap_seconds - 0.5 * float(index.time_base), times[low] - seconds
    end, sure = low, 0
    while number >= 0:
        first = int(heads[number])
        sure += _sure_to_be_kept(times[first:end], gap)
        end, number = first, number - 1
        if sure >= frames and (seconds <= 0 or times[first] <= wanted):
            break
    return end


def _sure_to_be_kept(times: NDArray[np.float64], gap: float) -> int:
    count, place = 0, 0
    while place < len(times):
        count, place = count + 1, max(place + 1, int(np.searchsorted(times, times[place] + gap)))
    return count


def pick_threshold(
    looks: Sequence[tuple[int, Cells]], rule: Rule, index: PacketIndex, wanted: int
) -> tuple[float, int]:
    """Return the lowest threshold that keeps at most ``wanted`` of the candidates seen, and how many it keeps.

    looks: place and cells of each candidate of the first pass, rising. Where even the highest keeps more (the gaps
    demand it), that one is returned. The count falls with the threshold but for single frames, so halving finds it.
    """

    def kept(threshold: float) -> int:
        gate = Gate(Rule(threshold, rule.min_gap_seconds, rule.max_gap_seconds), index)
        return sum(gate.keeps(place, lambda cells=cells: cells) for place, cells in looks)  # type: ignore[misc]  # mypy cannot infer it

    low, high = 0, len(THRESHOLDS) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if kept(THRESHOLDS[middle]) <= wanted else (middle + 1, high)
    return THRESHOLDS[high], kept(THRESHOLDS[high])
