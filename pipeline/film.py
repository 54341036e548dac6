"""Pictures as a film that every browser plays: H.264, yuv420p, even sizes, the index before the pictures.

Only pictures of our own come here, decoded and drawn, so the encoder needs no cage.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

#: ticks a second; every usual frame rate is a whole number of them
TIME_BASE = Fraction(1, 90_000)
#: the smallest side that encoder and players take
MIN_SIDE = 16
#: how long a film's only picture stands, where nobody says
ONLY_SECONDS = 1.0
#: constant quality with a ceiling on the bytes a second, and a place to start from every 60 pictures. No picture is
#: made from a later one, so that a picture's place in the file is its place in time.
OPTIONS = {"preset": "veryfast", "crf": "23", "bf": "0", "g": "60", "maxrate": "6M", "bufsize": "12M"}
#: what the pixels mean (ITU-T H.273): primaries, transfer and matrix of BT.709, the only ones all browsers agree on
_BT709 = 1


class Film:
    """An MP4 file that is written picture by picture; a context manager, and the file is whole after a clean exit.

    Memory does not grow with its length: the encoder holds some 10 pictures. Equal pictures at equal times give
    equal bytes.
    """

    def __init__(self, path: Path, *, frame_rate: float | None = None) -> None:
        """``frame_rate``: pictures a second at most, for the encoder's level; times are what ``add`` says."""
        self._rate = Fraction(min(max(frame_rate or 30.0, 1.0), 240.0)).limit_denominator(1001)
        self._path = path
        self._container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        self._stream: av.VideoStream | None = None
        #: the last packet, which waits to learn how long its picture stands
        self._held: av.Packet[av.VideoStream] | None = None
        self._start_seconds = 0.0
        self._last = -1
        self._stands = round(ONLY_SECONDS / TIME_BASE)
        self._open = True
        self.count = 0

    def __enter__(self) -> Film:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, image: NDArray[np.uint8], seconds: float) -> None:
        """Append a picture that stands from ``seconds`` on; the film begins with the first one, at 0.

        image: uint8, (height, width, 3), RGB. One of another size than the first is brought to its size; an odd size
        is made even by repeating the last row or column. A time that does not rise becomes the next tick.
        Raises: OSError (no room), av.error.FFmpegError.
        """
        if self._stream is None:
            self._start_seconds = seconds
            self._stream = self._begin(*image.shape[:2])
        place = max(self._last + 1, round((seconds - self._start_seconds) / TIME_BASE))
        if self.count:
            self._stands = place - self._last
        self._last = place
        self.count += 1
        frame = av.VideoFrame.from_ndarray(_sized(image, self._stream.width, self._stream.height), format="rgb24")
        frame = frame.reformat(
            format="yuv420p",
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            dst_colorspace=Colorspace.ITU709,
        )
        frame.pts, frame.time_base = place, TIME_BASE
        self._write(self._stream.encode(frame))

    def close(self, end_seconds: float | None = None) -> None:
        """Finish the file; ``end_seconds``: until when the last picture stands, else as long as the one before it."""
        if not self._open:
            return
        self._open = False
        if end_seconds is not None:
            self._stands = max(1, round((end_seconds - self._start_seconds) / TIME_BASE) - self._last)
        with self._container:
            if self._stream is None:
                return
            self._write(self._stream.encode(None))
            if self._held is not None:
                self._held.duration = self._stands
                self._container.mux(self._held)

    @property
    def size_bytes(self) -> int:
        """Bytes on the disk so far; the file is there from the first packet on."""
        return self._path.stat().st_size if self._path.exists() else 0

    def _begin(self, height: int, width: int) -> av.VideoStream:
        stream = self._container.add_stream("libx264", rate=self._rate, options=OPTIONS)
        stream.width, stream.height = _even(width), _even(height)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = TIME_BASE
        context.thread_count = 1  # several give other bytes on machines with more processors
        context.color_range = ColorRange.MPEG
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        return stream

    def _write(self, packets: Iterable[av.Packet[av.VideoStream]]) -> None:
        for packet in packets:
            if self._held is not None:
                self._container.mux(self._held)
            self._held = packet


def _even(side: int) -> int:
    return max(MIN_SIDE, side + side % 2)


def _sized(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Return the picture at the film's size: filled up where it lacks a few pixels, else stretched."""
    down, across = height - image.shape[0], width - image.shape[1]
    if (down, across) == (0, 0):
        return np.ascontiguousarray(image)
    if 0 <= down < MIN_SIDE and 0 <= across < MIN_SIDE:
        return np.pad(image, ((0, down), (0, across), (0, 0)), mode="edge")
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
