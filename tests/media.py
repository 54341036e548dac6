"""Clips made on the fly, each frame carrying its own number as a barcode, and damage done to them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import av.stream
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
WIDTH, HEIGHT = 160, 96
_ROWS, _COLUMNS = 2, 8


def barcode(number: int, width: int = WIDTH, height: int = HEIGHT) -> Picture:
    """Return a picture whose 16 black or white blocks spell ``number``; uint8, (height, width, 3)."""
    bits = [number >> place & 1 for place in range(_ROWS * _COLUMNS)]
    blocks = np.where(np.array(bits, bool).reshape(_ROWS, _COLUMNS), 235, 20).astype(np.uint8)
    rows = np.arange(height) * _ROWS // height
    columns = np.arange(width) * _COLUMNS // width
    return np.repeat(blocks[rows][:, columns, None], 3, axis=2)


def noisy(number: int, width: int, height: int) -> Picture:
    """Return a picture that no encoder makes small; uint8, (height, width, 3)."""
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


def colours(number: int, width: int, height: int) -> Picture:
    """Return four colour fields."""
    picture = np.zeros((height, width, 3), np.uint8)
    half_x, half_y = width // 2, height // 2
    picture[:half_y, :half_x] = (200, 40, 40)
    picture[:half_y, half_x:] = (40, 200, 40)
    picture[half_y:, :half_x] = (40, 40, 200)
    picture[half_y:, half_x:] = (220, 210, 60)
    return picture


def read_barcode(picture: Picture) -> int:
    """Return the number a picture spells, read at the blocks' centres."""
    height, width = picture.shape[:2]
    rows = [(2 * row + 1) * height // (2 * _ROWS) for row in range(_ROWS)]
    columns = [(2 * column + 1) * width // (2 * _COLUMNS) for column in range(_COLUMNS)]
    return sum(int(picture[row, column].mean() > 127) << place for place, (row, column) in enumerate(
        (row, column) for row in rows for column in columns))  # fmt: skip


@dataclass(frozen=True)
class Clip:
    """How a clip is made. ``times`` gives each frame's time in 1/rate units; None: 0, 1, 2 ..."""

    name: str
    frames: int = 90
    codec: str = "libx264"
    rate: int = 25
    width: int = WIDTH
    height: int = HEIGHT
    pixel_format: str = "yuv420p"
    options: Mapping[str, str] = field(default_factory=lambda: {"preset": "veryfast"})
    container_options: Mapping[str, str] = field(default_factory=dict)
    container_format: str | None = None
    rotation: int = 0
    times: Callable[[int], int] | None = None
    picture: Callable[[int, int, int], Picture] = barcode
    colorspace: int | None = None
    color_range: int | None = None

    def write(self, folder: Path) -> Path:
        """Encode the clip into ``folder`` and return its path."""
        os.environ.setdefault("SVT_LOG", "1")  # an encoder that tells of itself otherwise
        path = folder / self.name
        with av.open(str(path), "w", format=self.container_format, options=dict(self.container_options)) as container:
            stream = container.add_stream(self.codec, rate=self.rate, options=dict(self.options))
            stream.width, stream.height, stream.pix_fmt = self.width, self.height, self.pixel_format
            stream.codec_context.time_base = Fraction(1, self.rate)
            if self.rotation:
                stream.set_display_rotation(self.rotation)
            self._describe_colour(stream.codec_context)
            for number in range(self.frames):
                container.mux(stream.encode(self._frame(number)))
            container.mux(stream.encode(None))
        return path

    def _describe_colour(self, context: av.VideoCodecContext) -> None:
        if self.colorspace is not None:
            context.colorspace = self.colorspace
        if self.color_range is not None:
            context.color_range = self.color_range

    def _frame(self, number: int) -> av.VideoFrame:
        picture = av.VideoFrame.from_ndarray(self.picture(number, self.width, self.height), format="rgb24")
        frame = picture.reformat(
            format=self.pixel_format, dst_colorspace=self.colorspace, dst_color_range=self.color_range
        )
        frame.pts = self.times(number) if self.times else number
        frame.time_base = Fraction(1, self.rate)
        return frame


def remux(
    source: Path, target: Path, *, keep: Callable[[int], bool] = lambda number: True,
    change: Callable[[int, av.Packet], av.Packet] = lambda number, packet: packet, shift: int = 0,
) -> Path:  # fmt: skip
    """Copy packets without encoding again.

    keep: whether the packet of that number (in decoding order) stays. change: what is written for it. shift: added to
    every timestamp, in the stream's units.
    """
    with av.open(str(source)) as reading, av.open(str(target), "w") as writing:
        stream = reading.streams.video[0]
        copy = writing.add_stream_from_template(stream)
        for number, packet in enumerate(packet for packet in reading.demux(stream) if packet.size):
            if keep(number):
                written = change(number, packet)
                written.pts, written.dts = packet.pts + shift, packet.dts + shift
                written.stream = copy
                writing.mux(written)
    return target


def repeated(source: Path, target: Path, times: int, **options: str) -> Path:
    """Play a film so many times over in one file, without encoding it again; options: the container's."""
    with av.open(str(source)) as reading, av.open(str(target), "w", options=options) as writing:
        stream = reading.streams.video[0]
        copy = writing.add_stream_from_template(stream)
        packets = [packet for packet in reading.demux(stream) if packet.size]
        step = packets[1].dts - packets[0].dts  # type: ignore[operator]
        for number in range(times * len(packets)):
            round_, place = divmod(number, len(packets))
            packet = av.Packet(bytes(packets[place]))
            packet.pts = packets[place].pts + round_ * len(packets) * step  # type: ignore[operator]
            packet.dts = packets[place].dts + round_ * len(packets) * step  # type: ignore[operator]
            packet.time_base, packet.duration = packets[place].time_base, packets[place].duration
            packet.is_keyframe, packet.stream = packets[place].is_keyframe, copy
            writing.mux(packet)
    return target


def cut(source: Path, target: Path, share: float) -> Path:
    """Copy only the first part of a file."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def damage(source: Path, target: Path, places: Iterable[int]) -> Path:
    """Copy a file with 40 bytes overwritten at each place."""
    data = bytearray(source.read_bytes())
    for place in places:
        data[place : place + 40] = bytes(40)
    target.write_bytes(data)
    return target


def sound_only(path: Path) -> Path:
    """Write a second of silence and no pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        for _ in range(43):
            frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
            frame.sample_rate = 44100
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def with_cover(path: Path, frames: int = 10) -> Path:
    """Write a clip that carries a larger still as cover art in front of the film."""
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 640, 480, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        film = container.add_stream("libx264", rate=25)
        film.width, film.height, film.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        still = av.VideoFrame.from_ndarray(np.full((480, 640, 3), 200, np.uint8), format="rgb24")
        container.mux(cover.encode(still.reformat(format="yuvj420p")))
        for number in range(frames):
            container.mux(film.encode(av.VideoFrame.from_ndarray(barcode(number), format="rgb24")))
        container.mux(film.encode(None))
    return path


def many_streams(path: Path, count: int) -> Path:
    """Write a file with that many one-frame video streams."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("mpeg4", rate=25) for _ in range(count)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for number, stream in enumerate(streams):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(barcode(number, 32, 32), format="rgb24")))
            container.mux(stream.encode(None))
    return path
