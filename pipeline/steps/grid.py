"""Readings at any rate onto an even grid, piece by piece; a gap ends a stretch and nothing is made up for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.sensors.checks import GAP_SECONDS
from pipeline.sensors.recording import Recording

#: samples a second of the grid
RATE = 50
#: a reading this far before a cell's edge is that cell's: times are written with so many decimals
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Piece:
    """Samples that follow those before them, or begin a stretch.

    start_seconds: time of the stretch's first cell edge. samples: float64, (n, 3), m/s^2; sample i of a stretch stands
    at ``start_seconds + (i + 0.5) / RATE``. begins: a new stretch; ends: its last piece (may hold no sample).
    """

    start_seconds: float
    samples: NDArray[np.float64]
    begins: bool = False
    ends: bool = False


class Grid:
    """Averages the readings of each cell of 1/RATE s, and draws a line over cells without any.

    The samples do not depend on how the readings are handed over: a cell is settled when a later one has a reading.
    """

    def __init__(self) -> None:
        self._start: float | None = None
        self._cell = 0  # of the open cell, whose readings wait
        self._seconds = np.empty(0)
        self._values = np.empty((0, 3))
        self._last: NDArray[np.float64] | None = None  # the sample before the open cell
        self._last_cell = -1

    def extend(self, seconds: NDArray[np.float64], values: NDArray[np.float64]) -> Iterator[Piece]:
        """Take readings that follow the ones before; yield what is settled by them.

        seconds: float64, (n,), rising. values: float64, (n, 3).
        """
        if not len(seconds):
            return
        before = self._seconds[-1:] if len(self._seconds) else seconds[:1]
        apart = np.diff(seconds, prepend=before)
        edges = [0, *np.flatnonzero(apart > GAP_SECONDS).tolist(), len(seconds)]
        for number, (first, last) in enumerate(pairwise(edges)):
            if number:
                yield self.finish()
            if last > first:
                yield self._within(seconds[first:last], values[first:last])

    def finish(self) -> Piece:
        """Settle the open cell and end the stretch; the next reading begins another."""
        samples = self._settled(np.array([self._cell]), self._values.mean(axis=0, keepdims=True))
        piece = Piece(self._start or 0.0, samples, ends=True)
        self.__init__()  # type: ignore[misc]  # as new
        return piece

    @property
    def is_open(self) -> bool:
        """Whether a stretch is under way."""
        return self._start is not None

    def _within(self, seconds: NDArray[np.float64], values: NDArray[np.float64]) -> Piece:
        begins = self._start is None
        if self._start is None:
            self._start = float(seconds[0])
        seconds, values = np.concatenate((self._seconds, seconds)), np.concatenate((self._values, values))
        cells = np.floor((seconds - self._start) * RATE + _ROUNDING).astype(np.int64)
        still_open = cells == cells[-1]
        self._seconds, self._values, self._cell = seconds[still_open], values[still_open], int(cells[-1])
        closed, of = np.unique(cells[~still_open], return_inverse=True)
        if not len(closed):
            return Piece(self._start, np.empty((0, 3)), begins=begins)
        count = np.bincount(of)
        means = np.stack([np.bincount(of, values[~still_open, axis]) / count for axis in range(3)], axis=1)
        return Piece(self._start, self._settled(closed, means), begins=begins)

    def _settled(self, cells: NDArray[np.int64], means: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the samples up to the last of ``cells``, empty ones on the line between their neighbours."""
        if self._last is not None:
            cells, means = np.concatenate(([self._last_cell], cells)), np.concatenate((self._last[None], means))
        wanted = np.arange(self._last_cell + 1, cells[-1] + 1)
        self._last, self._last_cell = means[-1], int(cells[-1])
        return np.stack([np.interp(wanted, cells, means[:, axis]) for axis in range(3)], axis=1)


def whole(recording: Recording) -> tuple[float, NDArray[np.float64]]:
    """Return the start in seconds and the samples, float64, (n, 3), of a recording without gaps.

    Raises: ValueError where it has one.
    """
    grid = Grid()
    pieces = [*grid.extend(recording.seconds, recording.acceleration), grid.finish()]
    if any(piece.ends for piece in pieces[:-1]):
        raise ValueError("the recording has a gap")
    return pieces[0].start_seconds, np.concatenate([piece.samples for piece in pieces])
