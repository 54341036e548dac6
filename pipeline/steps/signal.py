"""Steps by signal processing: the length of the acceleration, filtered to the pace of walking.

The stages are those of windowed peak detection as in D. Salvi, C. Velardo, J. Brynes, L. Tarassenko, "An optimised
algorithm for accurate steps counting from smart-phone accelerometry" (EMBC 2018), whose data set the shared walks are
of: even rate, length of the vector (no orientation needed), filter, score, peaks over a threshold, and a shortest time
between two. The score here is a linear-phase band-pass (windowed sinc, Hamming), and the threshold moves with the root
mean square around a peak.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.sensors.recording import STANDARD_GRAVITY
from pipeline.steps.grid import RATE
from pipeline.steps.picking import Rules

#: pass band in Hz: from slow walking, about 1 step a second, to just below running; and the filter's length
LOW, HIGH, TAPS = 0.7, 3.0, 61
#: found by ``python -m pipeline evaluate steps`` on all four shared walks; each walk's own score never uses these
RULES = Rules(min_height=0.07, relative=1.25)


class SignalCurve:
    """The band-passed length of the acceleration in g; a step is a peak. ``context``: samples needed to each side."""

    context = TAPS // 2

    def __init__(self) -> None:
        self._filter = _low_pass(HIGH) - _low_pass(LOW)

    def __call__(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the curve, float64, (n - 2 x context,), of samples in m/s^2, float64, (n, 3)."""
        size = np.sqrt(np.sum(samples * samples, axis=1)) / STANDARD_GRAVITY
        return np.convolve(size - 1.0, self._filter, mode="valid")


def _low_pass(cutoff: float) -> NDArray[np.float64]:
    """Return a windowed sinc of unit gain at 0 Hz (J. O. Smith, Spectral Audio Signal Processing, window method)."""
    place = np.arange(TAPS) - TAPS // 2
    taps = np.sinc(2 * cutoff / RATE * place) * np.hamming(TAPS)
    return np.asarray(taps / taps.sum(), dtype=np.float64)
