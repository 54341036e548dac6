"""A recording of an accelerometer, and of a gyroscope where there is one, in SI units but for degrees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: standard gravity in m/s^2 (ISO 80000-3)
STANDARD_GRAVITY = 9.80665


class Reading(NamedTuple):
    """One reading: time in seconds, acceleration with gravity in m/s^2, rotation in deg/s where it is known."""

    seconds: float
    ax: float
    ay: float
    az: float
    gx: float | None = None
    gy: float | None = None
    gz: float | None = None


@dataclass(frozen=True, slots=True)
class SensorLimits:
    """What is refused. Sizes in bytes, times in seconds, rates in readings a second, values in SI units and deg/s.

    JSON has a lower bound in bytes: it is held whole while it is read, at up to 28 times its size (measured).
    """

    max_bytes: int = 128 * 1024**2
    max_json_bytes: int = 16 * 1024**2
    max_rows: int = 2_500_000
    max_seconds: float = 24 * 3600.0
    min_seconds: float = 1.0
    #: a step takes 0.3 s at the least; fewer readings cannot show it
    min_rate: float = 10.0
    max_rate: float = 2000.0
    #: the widest range of common sensors, 32 g
    max_acceleration: float = 32 * STANDARD_GRAVITY
    max_rotation: float = 4000.0


@dataclass(frozen=True, slots=True)
class Recording:
    """A whole recording; it stands where a video has frames, as the only one, hence index, pts and report.

    seconds: float64, (n,), rising, from 0. acceleration: float64, (n, 3), m/s^2, gravity included. rotation: float64,
    (n, 3), deg/s, or None. start_seconds: the first reading's time as the source counts.
    """

    seconds: NDArray[np.float64]
    acceleration: NDArray[np.float64]
    rotation: NDArray[np.float64] | None = None
    start_seconds: float = 0.0
    warnings: tuple[Mapping[str, str], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    index: int = 0
    pts: int = 0
    pts_seconds: float = 0.0
    report: bool = True

    @property
    def duration_seconds(self) -> float:
        """Time from the first reading to the last."""
        return float(self.seconds[-1])

    @property
    def rate(self) -> float:
        """Readings a second: one over the median distance."""
        return 1.0 / float(np.median(np.diff(self.seconds)))

    @property
    def nbytes(self) -> int:
        """Memory of the arrays in bytes."""
        rotation = 0 if self.rotation is None else self.rotation.nbytes
        return self.seconds.nbytes + self.acceleration.nbytes + rotation

    def __len__(self) -> int:
        return len(self.seconds)
