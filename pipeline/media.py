"""Facts about an input, known before a picture is decoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """What is refused before decoding. Sizes in bytes or pixels, times in seconds."""

    max_bytes: int = 16 * 1024**3
    max_duration_seconds: float = 6 * 3600.0
    max_pixels: int = 50_000_000  # of one still or video frame; 8K is 33 million
    max_streams: int = 64
    max_frames: int = 2_000_000  # packets of the chosen stream
    max_animation_pixels: int = 2_000_000_000  # frames x pixels of an animated image


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What ``probe`` found. width and height are upright, in source pixels; 0 for readings of a sensor."""

    kind: str  # image | animation | video | sensor
    format: str  # "mov,mp4,m4a,3gp,3g2,mj2", "PNG" ...
    codec: str
    width: int
    height: int
    rotation: int  # degrees clockwise that were applied: 0, 90, 180, 270
    duration_seconds: float | None
    #: frames a second, average over the stream; None for stills. Of a sensor: readings a second
    frame_rate: float | None
    frames: int | None
    size_bytes: int
    warnings: tuple[Mapping[str, str], ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return asdict(self)


#: goes up with every change of what ``Cage.packets`` gives: what an older program kept is not read
PACKETS_VERSION = 2
#: the most that it gives: some bytes for each of the most packets
MAX_PACKETS_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Parts:
    """How a video is read of which not all is on the disk.

    known: its packets, as ``Cage.packets`` gave them. fill: has the bytes from one place (inclusive) to another
    (exclusive) on the disk before it returns; what it raises ends the request and passes through.
    """

    known: bytes
    fill: Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class PacketIndex:
    """The frames a full decode would show, in presentation order.

    pts: int64, (n,), rising, in units of ``time_base``; equal to 0..n-1 where ``timed`` is False.
    key: bool, (n,), whether decoding may start at this frame.
    timed: False where the container has no usable timestamps (raw H.264, some AVI): then frames
        are counted, times come from ``frame_rate`` and the whole input is one segment.
    """

    pts: NDArray[np.int64]
    key: NDArray[np.bool_]
    time_base: Fraction
    timed: bool = True

    @property
    def seconds(self) -> NDArray[np.float64]:
        """Presentation time of each frame in seconds, float64, (n,), as the container counts (may start above 0)."""
        return np.multiply(self.pts, float(self.time_base), dtype=np.float64)

    def __len__(self) -> int:
        return len(self.pts)


def shrunk(width: int, height: int, wanted: int | None) -> tuple[int, int]:
    """Return the size at most ``wanted`` pixels wide, keeping aspect; never larger than before."""
    if wanted is None or width <= wanted:
        return width, height
    return wanted, max(1, round(height * wanted / width))
