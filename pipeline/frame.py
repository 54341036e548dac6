"""A decoded picture and where it stands in its source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Frame:
    """One sampled frame.

    image: uint8, (height, width, 3), RGB, upright (rotation applied), perhaps smaller than the source.
    index: place in presentation order among the frames a player would show, from 0.
    pts: presentation timestamp in ``time_base`` units of the source; the frame's identity. For sources
        without usable timestamps it equals ``index``.
    pts_seconds: the same in seconds.
    scale: image width / source width (upright), to take boxes back to source pixels.
    report: False for lead-in frames, which only warm up state.
    """

    image: NDArray[np.uint8]
    index: int
    pts: int
    pts_seconds: float
    scale: float = 1.0
    report: bool = True

    @property
    def nbytes(self) -> int:
        """Memory of the picture in bytes."""
        return self.image.nbytes


@dataclass(frozen=True, slots=True)
class Skipped:
    """Frames so like the last kept one that they were not looked at: (index, pts, pts_seconds) of each, rising.

    Those of a lead-in are left out. Long stretches come in several pieces.
    """

    frames: tuple[tuple[int, int, float], ...]
