"""From the planes of a decoded frame to small RGB: planes are shrunk first, colour is converted at the small size.

Cheaper than converting every source pixel, and nearer to the true mean of what each small pixel covers than
libswscale's quick conversion, which always rounds down.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from numpy.typing import NDArray

cv2.setNumThreads(1)

Picture = NDArray[np.uint8]
Samples = NDArray[np.uint8] | NDArray[np.uint16]

#: weights of red and blue in luma, by ITU-T H.273 MatrixCoefficients; 2 is unspecified: BT.601, as libswscale reads it
_WEIGHTS = {
    1: (0.2126, 0.0722), 2: (0.299, 0.114), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}  # fmt: skip
_FULL_RANGE = 2


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a pixel format stores a picture: luma columns and rows per chroma sample, bits a sample."""

    columns: int
    rows: int
    bits: int = 8


_LAYOUTS = {
    "yuv420p": _Layout(2, 2), "yuvj420p": _Layout(2, 2), "yuv422p": _Layout(2, 1), "yuvj422p": _Layout(2, 1),
    "yuv444p": _Layout(1, 1), "yuvj444p": _Layout(1, 1),
    "yuv420p10le": _Layout(2, 2, 10), "yuv422p10le": _Layout(2, 1, 10), "yuv444p10le": _Layout(1, 1, 10),
    "yuv420p12le": _Layout(2, 2, 12), "yuv422p12le": _Layout(2, 1, 12), "yuv444p12le": _Layout(1, 1, 12),
}  # fmt: skip


def shrinks_by_planes(frame: VideoFrame, width: int, height: int) -> bool:
    """Say whether ``shrunk_rgb`` can make this size of this frame.

    It cannot where the format is none of planar YUV, the matrix is none that is linear in it, the size is odd for its
    chroma (whose last sample then covers less), or nothing is to be shrunk.
    """
    layout = _LAYOUTS.get(frame.format.name)
    return (
        layout is not None
        and frame.colorspace in _WEIGHTS
        and width < frame.width
        and height < frame.height
        and not frame.width % layout.columns
        and not frame.height % layout.rows
    )


def shrunk_rgb(frame: VideoFrame, width: int, height: int) -> Picture:
    """Return a frame as RGB of that size, with the matrix and range that it names; uint8, (height, width, 3).

    Chroma is taken to stand amid its luma samples, as libswscale's quick conversion takes it.
    """
    layout = _LAYOUTS[frame.format.name]
    full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
    planes = [resized(_samples(plane, layout), width, height) for plane in frame.planes]
    small = cv2.transform(cv2.merge(planes), _to_rgb(frame.colorspace, full, layout.bits))
    return cast(Picture, small if layout.bits == 8 else cv2.convertScaleAbs(small))


def resized(picture: Samples, width: int, height: int) -> Samples:
    """Return a picture or plane at that size; averages areas when it shrinks to half or less.

    Above half, linear interpolation drops no pixel either and takes a tenth of the time.
    """
    if picture.shape[:2] == (height, width):
        return picture
    half = 2 * height <= picture.shape[0] or 2 * width <= picture.shape[1]
    how = cv2.INTER_AREA if half else cv2.INTER_LINEAR
    return cast(Samples, cv2.resize(picture, (width, height), interpolation=how))


def _samples(plane: VideoPlane, layout: _Layout) -> Samples:
    """Return a plane without its padding, as a view of libav's memory."""
    stored = np.asarray(memoryview(plane), np.uint8)[: plane.line_size * plane.height]
    rows = stored.reshape(plane.height, plane.line_size)
    return rows[:, : plane.width] if layout.bits == 8 else rows[:, : 2 * plane.width].view("<u2")


@lru_cache(maxsize=64)
def _to_rgb(colorspace: int, full: bool, bits: int) -> NDArray[np.float64]:
    """Return the affine map from YUV samples of so many bits to 8-bit RGB; float64, (3, 4)."""
    red, blue = _WEIGHTS[colorspace]
    green = 1 - red - blue
    colours = np.array(
        [[1, 0, 2 - 2 * red], [1, -2 * blue * (1 - blue) / green, -2 * red * (1 - red) / green], [1, 2 - 2 * blue, 0]]
    )
    unit, top = 1 << (bits - 8), (1 << bits) - 1
    scale = np.array([255 / top] * 3) if full else np.array([255 / 219, 255 / 224, 255 / 224]) / unit
    zero = np.array([0 if full else 16, 128, 128]) * unit
    linear = colours * scale
    return np.hstack([linear, -(linear @ zero)[:, None]])
