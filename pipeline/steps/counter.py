"""Count steps as readings come; a whole recording goes the same way, so both give the same steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.sensors.faults import SensorError
from pipeline.sensors.recording import Reading, SensorLimits
from pipeline.steps.grid import RATE, Grid, Piece
from pipeline.steps.network import RULES, shipped_curve
from pipeline.steps.picking import Picker, Rules

#: samples for which the curve is reckoned at once, always from the same place of a stretch: the same numbers come out
#: however the readings were handed over
HOP = RATE


class Curve(Protocol):
    """Makes a curve with a bump for each step. ``context``: samples it needs to each side of one."""

    context: int

    def __call__(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return float64, (n - 2 x context,), of samples in m/s^2, float64, (n, 3)."""


class StepCounter:
    """Counts steps of readings in order of time.

    ``steps`` and ``step_times`` hold what is certain: a step is counted about four seconds after it was made, those of
    a walk's beginning once it is a walk. ``finish`` counts what is left. Memory does not grow but by the step times.

    >>> counter = StepCounter()
    >>> counter.update(Reading(0.00, 0.1, 0.2, 9.8))
    0
    """

    def __init__(self, curve: Curve | None = None, rules: Rules | None = None) -> None:
        """Count as pipeline ``steps`` does by default, or by a curve and the rules that go with it.

        By signal processing: ``StepCounter(SignalCurve(), signal.RULES)``. Raises: ModelError where the weights that
        belong to this installation are not there, ValueError for one of curve and rules without the other.
        """
        if (curve is None) != (rules is None):
            raise ValueError("a curve has rules of its own: give both")
        self._curve = curve or shipped_curve()
        self._rules = rules or RULES
        self._limits = SensorLimits()
        self._grid = Grid()
        self._stretch: _Stretch | None = None
        self._times: list[float] = []
        self._last = -math.inf

    @property
    def steps(self) -> int:
        """Steps counted so far."""
        return len(self._times)

    @property
    def step_times(self) -> Sequence[float]:
        """Their times in seconds, as the readings count, rising."""
        return tuple(self._times)

    def update(self, reading: Reading) -> int:
        """Take one reading; return the steps counted so far.

        Raises: SensorError (sensor.malformed, sensor.unsorted, sensor.out_of_range); the reading is then not taken.
        """
        values = (reading.ax, reading.ay, reading.az)
        if not all(map(math.isfinite, (reading.seconds, *values))):
            raise SensorError(f"the reading at {reading.seconds} s is not finite")
        if reading.seconds <= self._last:
            raise SensorError(f"{reading.seconds} s is not after {self._last} s", code="sensor.unsorted")
        if max(map(abs, values)) > self._limits.max_acceleration:
            raise SensorError(f"{max(values, key=abs):g} m/s^2 is beyond a sensor", code="sensor.out_of_range")
        self.extend(np.array([reading.seconds]), np.array([values]))
        return self.steps

    def extend(self, seconds: NDArray[np.float64], acceleration: NDArray[np.float64]) -> int:
        """Take many readings that were checked; return the steps counted so far.

        seconds: float64, (n,), rising, after those before. acceleration: float64, (n, 3), m/s^2 with gravity.
        """
        if len(seconds):
            self._last = float(seconds[-1])
        for piece in self._grid.extend(seconds, acceleration):
            self._take(piece)
        return self.steps

    def finish(self) -> int:
        """Say that no readings follow for now; return the steps, the last ones included. More may come later."""
        if self._grid.is_open:
            self._take(self._grid.finish())
        return self.steps

    def _take(self, piece: Piece) -> None:
        if self._stretch is None or piece.begins:
            self._stretch = _Stretch(self._curve, self._rules)
        places = self._stretch.extend(piece.samples, ends=piece.ends)
        self._times.extend(piece.start_seconds + (place + 0.5) / RATE for place in places)
        if piece.ends:
            self._stretch = None


class _Stretch:
    """Samples without a gap between them; both ends are mirrored, so that the curve begins and ends with them."""

    def __init__(self, curve: Curve, rules: Rules) -> None:
        self._curve = curve
        self._picker = Picker(rules)
        self._samples = np.empty((0, 3))
        self._is_begun = False

    def extend(self, samples: NDArray[np.float64], *, ends: bool) -> list[int]:
        """Take samples; return the places of steps that became certain."""
        self._samples = np.concatenate((self._samples, samples))
        context, steps = self._curve.context, list[int]()
        if not self._is_begun and (len(self._samples) > context or ends):
            self._samples = np.concatenate((_mirrored(self._samples, context)[::-1], self._samples))
            self._is_begun = True
        if ends:
            self._samples = np.concatenate((self._samples, _mirrored(self._samples[::-1], context)))
        while self._is_begun and len(self._samples) >= HOP + 2 * context:
            steps.extend(self._picker.extend(self._curve(self._samples[: HOP + 2 * context])))
            self._samples = self._samples[HOP:]
        if ends:
            left = len(self._samples) > 2 * context
            steps.extend(self._picker.extend(self._curve(self._samples) if left else np.empty(0), ends=True))
        return steps


def _mirrored(samples: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return ``count`` samples that go on before the first one as after it; the last one is repeated where they end."""
    places = np.minimum(np.arange(1, count + 1), len(samples) - 1)
    return samples[places]
