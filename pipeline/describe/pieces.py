"""A piece of text that was read: what it says, how sure the reader is, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Quad = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of text of a picture.

    quad: float64, (4, 2), corners in picture pixels in reading order: upper left, upper right, lower right, lower left
    of the text as one reads it, whichever way the picture is turned. score: mean confidence of its characters, 0 to 1.
    """

    text: str
    score: float
    quad: Quad

    @property
    def height(self) -> float:
        """Height of the text in pixels, across its direction."""
        return float(np.linalg.norm(self.quad[3] - self.quad[0]) + np.linalg.norm(self.quad[2] - self.quad[1])) / 2

    @property
    def width(self) -> float:
        """Length of the text in pixels, along its direction."""
        return float(np.linalg.norm(self.quad[1] - self.quad[0]) + np.linalg.norm(self.quad[2] - self.quad[3])) / 2

    @property
    def angle(self) -> float:
        """Direction of reading in degrees clockwise, -180 to 180; 0 is from left to right."""
        along = (self.quad[1] - self.quad[0]) + (self.quad[2] - self.quad[3])
        return float(np.degrees(np.arctan2(along[1], along[0])))


@dataclass(frozen=True, slots=True)
class Text:
    """All pieces of a picture, and by how many degrees clockwise the page was turned to be read: 0, 90, 180, 270."""

    pieces: tuple[Piece, ...]
    turned: int


def box_of(quad: Quad) -> list[float]:
    """Return [x, y, width, height] around points, float64, (n, 2)."""
    low, high = quad.min(axis=0), quad.max(axis=0)
    return [float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])]
