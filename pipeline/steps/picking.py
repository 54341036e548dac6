"""From a curve with a bump for each step to steps: heights, distances, and walks of several steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.steps.grid import RATE

#: the curve's size at a peak is taken over this many samples to each side
AROUND = RATE
#: and its rise over the lowest of so many
_FOOT = RATE // 2


@dataclass(frozen=True, slots=True)
class Rules:
    """When a peak of the curve is a step. Heights in the curve's unit, times in seconds.

    min_height: lower peaks are none. relative: a peak must rise so many times the root mean square of the second before
    or after it, whichever is larger, over the lowest places of the half second before and after: a crest cut in half
    where a walk begins or ends is no step. min_interval: of two nearer peaks the higher one counts. max_interval: a
    longer pause ends a walk. min_walk: a walk of fewer steps is not counted.
    """

    min_height: float
    relative: float
    min_interval: float = 0.28
    max_interval: float = 1.5
    min_walk: int = 4


class Picker:
    """Takes the curve of one stretch piece by piece; ``steps`` are places of the steps that are certain, rising.

    A peak is judged when the second after it is known, so the steps do not depend on the pieces.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._curve = np.empty(0)
        self._offset = 0  # place of the first value that is kept
        self._judged = 1  # places before it are done with; the first value has no neighbour and is no peak
        self._waiting: tuple[int, float] | None = None  # the last peak, until no nearer and higher one can come
        self._walk: list[int] = []  # steps of a walk that is too short so far
        self._last: int | None = None
        self._is_walking = False

    def extend(self, curve: NDArray[np.float64], *, ends: bool = False) -> list[int]:
        """Take the next values; return the places of steps that became certain. ``ends``: no more values come."""
        self._curve = np.concatenate((self._curve, curve))
        known = self._offset + len(self._curve)
        until = known - 1 if ends else known - AROUND
        steps: list[int] = []
        for place in self._peaks(until):
            steps.extend(self._take(place, float(self._curve[place - self._offset])))
        self._judged = max(self._judged, until)
        if self._waiting is not None and (ends or self._judged - self._waiting[0] >= self._rules.min_interval * RATE):
            steps.extend(self._settle())
        self._trim()
        return steps

    def _peaks(self, until: int) -> list[int]:
        """Return the places from the first unjudged one to ``until`` (exclusive) that are high enough peaks."""
        first, last = self._judged - self._offset, until - self._offset
        if last <= first:
            return []
        curve = self._curve
        middle = curve[first:last]
        high = (middle > curve[first - 1 : last - 1]) & (middle >= curve[first + 1 : last + 1])
        high &= middle > self._rules.min_height
        found = np.flatnonzero(high) + first
        return [int(place) + self._offset for place in found if curve[place] > self._floor(int(place))]

    def _floor(self, place: int) -> float:
        before, after = self._curve[max(0, place - AROUND) : place + 1], self._curve[place : place + AROUND + 1]
        size = np.sqrt(max(np.mean(before * before), np.mean(after * after)))
        foot = max(before[-_FOOT - 1 :].min(), after[: _FOOT + 1].min())
        return float(foot + self._rules.relative * size)

    def _take(self, place: int, height: float) -> list[int]:
        """Let a peak replace a lower one that is too near, or settle the one before it."""
        if self._waiting is None:
            self._waiting = place, height
            return []
        if place - self._waiting[0] < self._rules.min_interval * RATE:
            if height > self._waiting[1]:
                self._waiting = place, height
            return []
        settled = self._settle()
        self._waiting = place, height
        return settled

    def _settle(self) -> list[int]:
        """Make the waiting peak a step of its walk; return what is counted by it."""
        assert self._waiting is not None
        place, self._waiting = self._waiting[0], None
        if self._last is not None and place - self._last > self._rules.max_interval * RATE:
            self._walk, self._is_walking = [], False
        self._last = place
        if self._is_walking:
            return [place]
        self._walk.append(place)
        if len(self._walk) < self._rules.min_walk:
            return []
        counted, self._walk, self._is_walking = self._walk, [], True
        return counted

    def _trim(self) -> None:
        """Forget values no peak to come is judged by."""
        spare = self._judged - AROUND - 1 - self._offset
        if spare > 0:
            self._curve = self._curve[spare:]
            self._offset += spare
