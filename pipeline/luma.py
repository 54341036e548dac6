"""A decoded picture's cells: luma on a coarse grid of points, read where it lies, without conversion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from pipeline.adaptive import Cells

_BYTE = np.dtype(np.uint8)
#: cells across; 128 x 72 points of a 720p frame take 8 us to read between two decodes, a decode 1,400
CELLS_ACROSS = 128


class LumaReader:
    """Reads the cells of a video's frames: uint8, (rows, columns), about 128 across, as stored (not turned upright).

    Planar luma of 8 to 16 bits is read from the decoder's own memory; anything else (RGB, packed, palette) is converted
    by swscale first, which costs about a quarter of a millisecond.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._known: tuple[str, int, int, int] | None = None
        self._layout = _Layout()

    def cells(self, frame: VideoFrame) -> Cells:
        """Return a frame's cells, a copy in one piece: what reads them after is a third as dear as on the plane."""
        plane = VideoPlane(frame, 0)  # ``frame.planes`` makes all three
        known = (frame.format.name, plane.height, plane.width, plane.line_size)
        if known != self._known:
            self._known, self._layout = known, _layout_of(frame, plane)
        layout = self._layout
        if layout.kind is None:
            grey = self._reformatter.reformat(frame, format="gray", threads=1)
            return np.ascontiguousarray(on_grid(grey.to_ndarray()), np.uint8)
        found: NDArray[Any] = np.ndarray(
            layout.shape, layout.kind, cast("memoryview", plane), layout.first, layout.strides
        )
        return found.copy() if layout.kind == _BYTE else (found >> layout.shift).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the cells lie in a plane, in bytes; ``kind`` is None where they cannot be read as they lie.

    Looked up once a size and format: between two frames the decoder sweeps the caches, so every step here is dear.
    """

    kind: np.dtype[Any] | None = None
    shift: int = 0
    shape: tuple[int, int] = (0, 0)
    first: int = 0
    strides: tuple[int, int] = (0, 0)


def _layout_of(frame: VideoFrame, plane: VideoPlane) -> _Layout:
    form = frame.format
    luma = form.components[0]
    planar = luma.is_luma and all(one.plane != luma.plane for one in form.components[1:])
    if not planar or form.name.startswith(("p0", "p2", "p4", "x2")):  # those keep their bits in the upper end
        return _Layout()
    kind = _BYTE if luma.bits <= 8 else np.dtype(">u2" if form.is_big_endian else "<u2")
    step, top, left = _grid(plane.height, plane.width)
    shape = -(-(plane.height - top) // step), -(-(plane.width - left) // step)
    first = top * plane.line_size + left * kind.itemsize
    return _Layout(kind, luma.bits - 8, shape, first, (step * plane.line_size, step * kind.itemsize))


def on_grid(plane: NDArray[Any]) -> NDArray[Any]:
    """Return every n-th value of a picture, n so that about CELLS_ACROSS stand in a row; a view."""
    step, top, left = _grid(*plane.shape)
    return plane[top::step, left::step]


def _grid(height: int, width: int) -> tuple[int, int, int]:
    """Return the step and where the first row and column lie."""
    step = max(1, round(width / CELLS_ACROSS))
    return step, min(step // 2, height - 1), step // 2


def cells_of_rgb(picture: NDArray[np.uint8]) -> Cells:
    """Return the cells of an RGB picture, uint8, (h, w, 3): its green, which is most of luma."""
    return np.ascontiguousarray(on_grid(picture[..., 1]), np.uint8)
