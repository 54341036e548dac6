"""The pinhole camera: intrinsics in pixels, where they come from, and how they change with crop and scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Camera:
    """Intrinsics in pixels; no lens distortion. Whole coordinates are pixel centres, as in OpenCV.

    Raises: ValueError for a focal length that is not positive and finite.
    """

    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        values = (self.fx, self.fy, self.cx, self.cy)
        if not all(map(math.isfinite, values)) or self.fx <= 0 or self.fy <= 0:
            raise ValueError("focal lengths must be positive and all intrinsics finite")

    @classmethod
    def from_fov(cls, width: int, height: int, horizontal_degrees: float) -> Camera:
        """Return the camera with square pixels that sees so many degrees across a picture, centred in it."""
        if not 0 < horizontal_degrees < 180:
            raise ValueError("a horizontal field of view lies between 0 and 180 degrees")
        focal = width / (2 * math.tan(math.radians(horizontal_degrees) / 2))
        return cls(focal, focal, (width - 1) / 2, (height - 1) / 2)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """K, float64 (3, 3)."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)

    def cropped(self, left: float, top: float, scale: float) -> Camera:
        """Return the camera of a part of the picture, enlarged.

        left, top: edges of the part in pixels from the edge of the picture (not from the first pixel's centre).
        scale: pixels of the new picture for one of the old.
        """
        return Camera(
            self.fx * scale,
            self.fy * scale,
            (self.cx + 0.5 - left) * scale - 0.5,
            (self.cy + 0.5 - top) * scale - 0.5,
        )

    def scaled(self, scale: float) -> Camera:
        """Return the camera of the whole picture at another size."""
        return self.cropped(0.0, 0.0, scale)

    def project(self, points: Points) -> Points:
        """Return pixels (n, 2) of points (n, 3) in camera axes; behind the camera the result means nothing."""
        return points[:, :2] / points[:, 2:] * (self.fx, self.fy) + (self.cx, self.cy)

    def rays(self, width: int, height: int, step: int = 1) -> Points:
        """Return directions (rows, columns, 3) with z = 1 through the centres of cells of step x step pixels."""
        across = (np.arange(0, width, step) + (step - 1) / 2 - self.cx) / self.fx
        down = (np.arange(0, height, step) + (step - 1) / 2 - self.cy) / self.fy
        x, y = np.meshgrid(across, down)
        return np.stack([x, y, np.ones_like(x)], axis=-1)
