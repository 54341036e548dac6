"""A decoded picture's cells: luma on a coarse grid of points, read where it lies, without conversion."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from pipeline.adaptive import Cells

#: cells across; 128 x 72 points of a 720p frame take 5 us to read, its decode 1,500
CELLS_ACROSS = 128


class LumaReader:
    """Reads the cells of a video's frames: uint8, (rows, columns), about 128 across, as stored (not turned upright).

    Planar luma of 8 to 16 bits is read from the decoder's own memory; anything else (RGB, packed, palette) is converted
    by swscale first, which costs about a quarter of a millisecond.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def cells(self, frame: VideoFrame) -> Cells:
        """Return a frame's cells; the array is the caller's own."""
        form = frame.format
        luma = form.components[0]
        planar = luma.is_luma and all(one.plane != luma.plane for one in form.components[1:])
        if not planar or form.name.startswith(("p0", "p2", "p4", "x2")):  # those keep their bits in the upper end
            frame, bits, big = self._reformatter.reformat(frame, format="gray", threads=1), 8, False
        else:
            bits, big = luma.bits, form.is_big_endian
        plane = frame.planes[0]
        kind = np.dtype(np.uint8) if bits <= 8 else np.dtype(">u2" if big else "<u2")
        rows = np.frombuffer(cast("memoryview", plane), kind).reshape(plane.height, plane.line_size // kind.itemsize)
        found = on_grid(rows[:, : plane.width])
        return np.ascontiguousarray(found if bits <= 8 else found >> (bits - 8), np.uint8)


def on_grid(plane: NDArray[Any]) -> NDArray[Any]:
    """Return every n-th value of a picture, n so that about CELLS_ACROSS stand in a row; a view."""
    step = max(1, round(plane.shape[1] / CELLS_ACROSS))
    return plane[min(step // 2, plane.shape[0] - 1) :: step, step // 2 :: step]


def cells_of_rgb(picture: NDArray[np.uint8]) -> Cells:
    """Return the cells of an RGB picture, uint8, (h, w, 3): its green, which is most of luma."""
    return np.ascontiguousarray(on_grid(picture[..., 1]), np.uint8)
