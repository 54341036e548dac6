"""What a worker with one tenth of a long video fetches of it, container by container.

``python -m bench.decode ranges``; the films are joined without encoding from short encoded ones. Needs ffmpeg.
"""

from __future__ import annotations

import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from bench.decode.figures import Figure
from bench.decode.streams import Streams, clips_folder, ffmpeg
from pipeline.cage import Cage
from pipeline.media import Parts
from tests.holes import Hole

_BYTES = 120 << 20
_SECONDS = 12
#: what is fetched beside the segment: the head that libav reads before it knows the streams (up to 8 MiB where they
#: may turn up late), the end (for the duration), the group before; in blocks of a MiB
_BESIDE_BYTES = 13 << 20
_H264, _HEVC = "-c:v libx264 -preset veryfast -g 48 -b:v 6M", "-c:v libx265 -preset ultrafast -g 48 -b:v 6M"
_MPEG2, _MPEG4 = "-c:v mpeg2video -g 15 -bf 2 -b:v 8M", "-c:v mpeg4 -g 24 -b:v 8M"
_SOUND = "-c:a aac"


@dataclass(frozen=True, slots=True)
class _Kind:
    """One way of writing a film: how its packets are encoded, how they are joined, and what is done to the file."""

    name: str
    suffix: str
    encoded: str
    muxed: str = ""
    sound: str = _SOUND
    without_index: bool = False
    cut_up: bool = True


KINDS = (
    _Kind("MP4", "mp4", _H264),
    _Kind("MP4, index first", "mp4", _H264, "-movflags faststart"),
    _Kind("MP4, fragments", "mp4", _H264, "-movflags frag_keyframe+empty_moov"),
    _Kind("MP4, DASH", "mp4", _H264, "-movflags dash+global_sidx+frag_keyframe"),
    _Kind("Matroska", "mkv", _H264),
    _Kind("Matroska without cues", "mkv", _H264, "-live 1"),
    _Kind("WebM", "webm", "-c:v libvpx -deadline realtime -cpu-used 8 -g 48 -b:v 6M", sound="-c:a libopus"),
    _Kind("WebM without cues", "webm", "-c:v libvpx -deadline realtime -cpu-used 8 -g 48 -b:v 6M", "-live 1",
          sound="-c:a libopus"),
    _Kind("MPEG-TS, H.264", "ts", _H264),
    _Kind("MPEG-TS, HEVC", "ts", _HEVC + " -x265-params log-level=error"),
    _Kind("M2TS", "m2ts", _H264, "-mpegts_m2ts_mode 1"),
    _Kind("MPEG-PS", "mpg", _MPEG2, sound="-c:a mp2"),
    _Kind("AVI", "avi", _MPEG4, sound="-c:a mp2"),
    _Kind("AVI without index", "avi", _MPEG4, sound="-c:a mp2", without_index=True),
    _Kind("FLV", "flv", _H264),
    _Kind("WMV", "wmv", "-c:v wmv2 -g 24 -b:v 8M", sound="-c:a wmav2"),
    _Kind("raw Motion JPEG", "mjpeg", "-c:v mjpeg -q:v 4 -pix_fmt yuvj420p", sound="-an"),
    _Kind("raw H.264", "h264", _H264, sound="-an", cut_up=False),
    _Kind("raw HEVC", "hevc", _HEVC + " -x265-params log-level=error", sound="-an", cut_up=False),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fetched:
    """Bytes of a film, of the packets of its segment, and that were fetched for it; and whether the pictures agree."""

    whole: int
    own: int
    asked: int
    same: bool


def measure(streams: Streams, repetitions: int) -> list[Figure]:
    """Return what is fetched beside a segment's own bytes; no timing, so nothing is repeated."""
    figures = []
    for kind, fetched in _each():
        print(f"| {kind.name} | {_mib(fetched.whole)} | {_mib(fetched.own)} | {_mib(fetched.asked)} |", flush=True)
        beside = (fetched.asked - fetched.own) / 2**20
        figures.append(
            Figure(f"{kind.name}: fetched beside the segment's own bytes", beside,
                   _BESIDE_BYTES / 2**20 if kind.cut_up else None, unit="MiB")
        )  # fmt: skip
        figures.append(Figure(f"{kind.name}: same pictures as from the whole file", float(fetched.same), 1.0,
                              higher_is_better=True, unit="of 1"))  # fmt: skip
    return figures


def _each() -> Iterator[tuple[_Kind, Fetched]]:
    with Cage() as cage, tempfile.TemporaryDirectory() as encoded:
        for kind in KINDS:
            with tempfile.TemporaryDirectory() as folder:
                film = _joined(kind, _encoded(kind, Path(encoded)), Path(folder))
                yield kind, _fetched(cage, film, Path(folder))


def _fetched(cage: Cage, film: Path, folder: Path) -> Fetched:
    """Fetch the frames of the sixth tenth, one a second, through a copy with holes."""
    index = cage.index(film)
    wanted = np.arange(len(index) * 5 // 10, len(index) * 6 // 10, 24)
    hole = Hole(film, folder)
    parts = Parts(cage.packets(film), hole.fill)
    frames = list(cage.frames(hole.path, wanted, parts=parts))
    alike = [
        one.pts == other.pts and np.array_equal(one.image, other.image)
        for one, other in zip(frames, cage.frames(film, wanted), strict=True)
    ]
    return Fetched(film.stat().st_size, _own_bytes(film), hole.asked_bytes, all(alike) and len(alike) == len(wanted))


def _own_bytes(film: Path) -> int:
    """Return a tenth of all packets' bytes, sound and all."""
    with av.open(str(film)) as container:
        return sum(packet.size for packet in container.demux()) // 10


def _encoded(kind: _Kind, folder: Path) -> Path:
    """Encode some seconds of picture and sound, once for all kinds that are coded alike."""
    base = folder / f"{zlib.crc32(f'{kind.encoded} {kind.sound}'.encode())}.mkv"
    if base.exists():
        return base
    picture = ["-stream_loop", "-1", "-i", str(clips_folder() / "juggle.mp4")]
    sound = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
    chosen = ["-t", str(_SECONDS), "-map", "0:v", "-map", "1:a", "-r", "24", "-vf", "scale=-2:720"]
    _ffmpeg(*picture, *sound, *chosen, "-pix_fmt", "yuv420p", *kind.encoded.split(), *kind.sound.split(), str(base))
    return base


def _joined(kind: _Kind, base: Path, folder: Path) -> Path:
    film, times = folder / f"film.{kind.suffix}", _BYTES // base.stat().st_size
    copied = ["-map", "0", "-c", "copy", *kind.muxed.split()]
    _ffmpeg("-stream_loop", str(times), "-i", str(base), *copied, str(film))
    if kind.without_index:
        data = bytearray(film.read_bytes())
        place = data.rindex(b"idx1")
        data[place : place + 4] = b"JUNK"
        film.write_bytes(data)
    return film


def _ffmpeg(*arguments: str) -> None:
    subprocess.run([ffmpeg(), "-v", "fatal", "-nostdin", "-y", *arguments], check=True, timeout=300)


def _mib(count: int) -> str:
    return f"{count / 2**20:.1f}"
