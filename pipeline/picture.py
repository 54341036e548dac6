"""From a decoded frame to upright RGB of the wanted size."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import cast

import numpy as np
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from pipeline.colour import Picture, resized, shrinks_by_planes, shrunk_rgb


@dataclass(frozen=True, slots=True)
class Turn:
    """How stored pixels become an upright picture: first swap the axes, then mirror."""

    swap: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @property
    def degrees(self) -> int:
        """The rotation in it, clockwise: 0, 90, 180 or 270; a mirroring alone counts as 0."""
        if self.swap:
            return 90 if self.mirror_x else 270
        return 180 if self.mirror_x and self.mirror_y else 0

    @property
    def mirrored(self) -> bool:
        """Whether the picture is also mirrored."""
        return (self.mirror_x != self.mirror_y) != self.swap

    def apply(self, picture: Picture) -> Picture:
        """Return the picture upright, contiguous; uint8, (h, w, 3)."""
        turned = picture.transpose(1, 0, 2) if self.swap else picture
        turned = turned[:: -1 if self.mirror_y else 1, :: -1 if self.mirror_x else 1]
        return np.ascontiguousarray(turned)


#: by degrees clockwise
_TURNS = {
    90: Turn(swap=True, mirror_x=True),
    180: Turn(mirror_x=True, mirror_y=True),
    270: Turn(swap=True, mirror_y=True),
}


def turn_of(frame: VideoFrame) -> Turn:
    """Read the display matrix that a phone writes beside the picture."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # beside it lies what PyAV has no name for, as EXIF; the angle is told all the same
        return _TURNS.get(-frame.rotation % 360, Turn())
    if matrix is None:
        return Turn()
    a, b, _, c, d = struct.unpack("=5i", bytes(cast(SideData, matrix))[:20])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Turn(swap=True, mirror_x=c < 0, mirror_y=b < 0)
    return Turn(mirror_x=a < 0, mirror_y=d < 0)


class Turns:
    """Follows the rotation through a video.

    Reading side data ties a frame into a reference cycle that keeps its memory until the collector runs, so the
    matrix is read again only when the angle changes.
    """

    def __init__(self) -> None:
        self._angle: int | None = None
        self._turn = Turn()

    def of(self, frame: VideoFrame) -> Turn:
        """Return how this frame is turned."""
        angle = frame.rotation
        if angle != self._angle:
            self._angle, self._turn = angle, turn_of(frame)
        return self._turn


def to_rgb(frame: VideoFrame, reformatter: VideoReformatter) -> Picture:
    """Convert with the frame's own colour matrix and range (swscale); uint8, (h, w, 3), not yet upright.

    One reformatter serves a whole video; ``frame.to_ndarray`` would start threads for every frame.
    """
    return cast(Picture, reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray())


def upright(frame: VideoFrame, reformatter: VideoReformatter, size: tuple[int, int], turn: Turn) -> Picture:
    """Return a frame as upright RGB of ``size`` (width, height); uint8, (height, width, 3)."""
    width, height = size[::-1] if turn.swap else size
    if shrinks_by_planes(frame, width, height):
        return turn.apply(shrunk_rgb(frame, width, height))
    return turn.apply(cast(Picture, resized(to_rgb(frame, reformatter), width, height)))
