"""Films that no encoder writes on its own: made byte by byte, or packet by packet, from sound ones."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.media import HEIGHT, WIDTH, Clip, barcode, remux

_FAST = {"preset": "veryfast", "g": "20"}
_TS_PACKET = 188
_VIDEO_PID = 0x100
#: where a transport stream's 33-bit clock starts again
_CLOCK_ENDS = 1 << 33


def audio_first(path: Path, frames: int = 90, *, film_first: bool = False) -> Path:
    """Write a film whose first stream is sound, and whose packets begin with it; film_first: the other way round."""
    with av.open(str(path), "w") as container:
        names = ("libx264", "aac") if film_first else ("aac", "libx264")
        streams = {name: container.add_stream(name, rate=25 if name == "libx264" else 48000) for name in names}
        sound, film = streams["aac"], streams["libx264"]
        film.codec_context.options = dict(_FAST)
        film.width, film.height, film.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            for part in (2 * number, 2 * number + 1):  # 1024 samples: about half a picture's time
                silence = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
                silence.sample_rate, silence.pts = 48000, 1024 * part
                container.mux(sound.encode(silence))
            container.mux(film.encode(av.VideoFrame.from_ndarray(barcode(number), format="rgb24")))
        container.mux(film.encode(None))
        container.mux(sound.encode(None))
    return path


def same_pts(source: Path, target: Path, twice: Sequence[int]) -> Path:
    """Give some packets (numbers in decoding order) the presentation time of the one before them."""
    before: list[int] = []

    def change(number: int, packet: av.Packet) -> av.Packet:
        assert packet.pts is not None
        before.append(packet.pts)
        if number in twice:
            packet.pts = before[number - 1]
        return packet

    return remux(source, target, change=change)


def from_key(source: Path, target: Path, which: int) -> Path:
    """Copy from the keyframe of that number on; what leads it in an open GOP comes along."""
    with av.open(str(source)) as container:
        packets = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    first = [number for number, key in enumerate(packets) if key][which]
    return remux(source, target, keep=lambda number: number >= first)


def wrapping(source: Path, target: Path) -> Path:
    """Move a transport stream so that its clock starts again amid the film."""
    return remux(source, target, shift=_CLOCK_ENDS - 90_000 * 3)


def without_times(source: Path, target: Path, bare: Callable[[int], bool]) -> Path:
    """Take both timestamps out of the headers of some pictures of a transport stream."""
    data, number = bytearray(source.read_bytes()), 0
    for place in range(0, len(data), _TS_PACKET):
        starts, pid = data[place + 1] & 0x40, int.from_bytes(data[place + 1 : place + 3], "big") & 0x1FFF
        if not starts or pid != _VIDEO_PID:
            continue
        header = place + 4 + (data[place + 4] + 1 if data[place + 3] & 0x20 else 0)
        assert data[header : header + 3] == b"\0\0\1"
        if bare(number):
            length = data[header + 8]
            data[header + 7] &= 0x3F
            data[header + 9 : header + 9 + length] = b"\xff" * length
        number += 1
    target.write_bytes(data)
    return target


def with_edits(source: Path, target: Path, edits: Sequence[tuple[int, int]]) -> Path:
    """Replace the edit list of an MP4 whose index stands behind its pictures.

    edits: (length, start) of each, length in units of the film's clock, start in units of the stream's; start -1 shows
    nothing for that long.
    """
    data = source.read_bytes()
    place = data.index(b"elst") - 4
    old = int.from_bytes(data[place : place + 4], "big")
    entries = b"".join(struct.pack(">Iihh", length, start, 1, 0) for length, start in edits)
    box = struct.pack(">I4sII", 16 + len(entries), b"elst", 0, len(edits)) + entries
    grown = bytearray(data[:place] + box + data[place + old :])
    for name in (b"moov", b"trak", b"edts"):
        at = data.rindex(name, 0, place + 4) - 4
        grown[at : at + 4] = (int.from_bytes(data[at : at + 4], "big") + len(box) - old).to_bytes(4, "big")
    target.write_bytes(grown)
    return target


def packed(folder: Path, frames: int = 90) -> Path:
    """Write an AVI as DivX did: a B picture stands in one packet with the picture after it, then comes an empty one."""
    options = {"bf": "1", "g": "12", "b_strategy": "0", "sc_threshold": "1000000000"}
    source = Clip("plain.avi", frames=frames, codec="mpeg4", options=options).write(folder)
    with av.open(str(source)) as reading, av.open(str(folder / "packed.avi"), "w") as writing:
        stream = reading.streams.video[0]
        copy = writing.add_stream_from_template(stream)
        packets = [bytes(packet) for packet in reading.demux(stream) if packet.size]
        for number, data in enumerate(_packed(packets)):
            packet = av.Packet(data)
            packet.pts = packet.dts = number
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), copy, _kind(data) == 0
            writing.mux(packet)
    return folder / "packed.avi"


def _packed(packets: Sequence[bytes]) -> list[bytes]:
    """Join every picture with the B picture that follows it, and leave an empty picture in that one's place."""
    place = packets[0].index(b"\0\0\1\xb6")
    told = packets[0][:place] + b"\0\0\1\xb2DivX503b1393p" + packets[0][place:]
    out = [told]
    for number in range(1, len(packets)):
        if _kind(packets[number]) == 2:
            out[-1] += packets[number]
            out.append(_not_coded(number))
        else:
            out.append(packets[number])
    return out


def _kind(data: bytes) -> int:
    """Return the kind of the first picture: 0 I, 1 P, 2 B."""
    return data[data.index(b"\0\0\1\xb6") + 4] >> 6


def _not_coded(number: int) -> bytes:
    """Return a P picture of 1/25 s units that says: nothing here."""
    bits = f"01{0}1{number % 25:05b}10" + "0"
    bits += "1" * (-len(bits) % 8)
    return b"\0\0\1\xb6" + int(bits, 2).to_bytes(len(bits) // 8, "big")


def with_exif(source: Path, target: Path, orientation: int) -> Path:
    """Put what cameras write into each JPEG of a film: a block of EXIF with its orientation."""
    tiff = struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    block = b"\xff\xe1" + struct.pack(">H", 8 + len(tiff)) + b"Exif\0\0" + tiff

    def change(number: int, packet: av.Packet) -> av.Packet:
        told = av.Packet(b"\xff\xd8" + block + bytes(packet)[2:])
        told.pts, told.dts, told.time_base = packet.pts, packet.dts, packet.time_base
        told.is_keyframe = True
        return told

    return remux(source, target, change=change)


def gaining_sound(folder: Path, name: str) -> Path:
    """Write a transport stream that is silent first; then a stream of sound turns up beside the pictures."""
    silent = Clip(f"silent.{name}", frames=30, options=_FAST).write(folder)
    sounding = audio_first(folder / f"sounding.{name}", frames=60, film_first=True)
    (folder / name).write_bytes(silent.read_bytes() + sounding.read_bytes())
    return folder / name


def growing(folder: Path, name: str) -> Path:
    """Write a film whose pictures are larger from the 30th on."""
    small = Clip(f"small.{name}", frames=30, options=_FAST).write(folder)
    large = Clip(
        f"large.{name}", frames=60, width=2 * WIDTH, height=2 * HEIGHT, options=_FAST, times=lambda number: number + 30,
    ).write(folder)  # fmt: skip
    (folder / name).write_bytes(small.read_bytes() + large.read_bytes())
    return folder / name
