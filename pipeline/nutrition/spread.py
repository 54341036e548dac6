"""A bounded sample of many values, to take a median of."""

from __future__ import annotations

from statistics import median

MAX_KEPT = 256


class Spread:
    """Keep every value, from ``MAX_KEPT`` on every second, fourth ...: evenly over time, the same on every machine."""

    def __init__(self) -> None:
        self._kept: list[float] = []
        self._every = 1
        self._seen = 0

    def add(self, value: float) -> None:
        """Take in the next value."""
        if self._seen % self._every == 0:
            self._kept.append(value)
            if len(self._kept) > MAX_KEPT:
                self._kept = self._kept[::2]
                self._every *= 2
        self._seen += 1

    def middle(self) -> float | None:
        """Return the median, None where nothing was told."""
        return median(self._kept) if self._kept else None
