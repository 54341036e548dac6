"""What is read after a leap over the middle of a file is what a reading of all of it meets there."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.cage import Cage
from pipeline.container import open_video
from pipeline.decode import runs
from pipeline.index import PacketScan, scan_packets
from pipeline.leap import find_leap, find_units
from pipeline.media import MediaLimits, Parts
from pipeline.opening import Input, opened_near
from pipeline.seek import Packets
from pipeline.sniff import Sniffed, sniff_file
from tests import crafted
from tests.holes import Hole
from tests.media import HEIGHT, WIDTH, Clip, damage, noisy, repeated
from tests.reference_decode import Reference, reference_decode

_FRAMES, _TIMES = 40, 5
_H264 = {"preset": "ultrafast", "bf": "2", "g": "10", "qp": "20"}
_HEVC = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=20:qp=24"}
_MPEG = {"bf": "2", "g": "10", "qmin": "2", "qmax": "3", "sc_threshold": "1000000000"}
#: what the films are joined from: codec, options
_CODED = {
    "h264": ("mp4", "libx264", _H264),
    "open": ("mp4", "libx264", {**_H264, "x264-params": "open-gop=1:keyint=10:bframes=2:scenecut=0"}),
    "hevc": ("mp4", "libx265", _HEVC),
    "mpeg2": ("mkv", "mpeg2video", _MPEG),
    "mpeg4": ("mkv", "mpeg4", _MPEG),
    "vp9": ("webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "g": "20", "b": "16M"}),
    "mjpeg": ("mkv", "mjpeg", {"qmin": "2", "qmax": "3"}),
    "wmv2": ("wmv", "wmv2", {"qmin": "2", "qmax": "3", "g": "20", "sc_threshold": "1000000000"}),
}
#: name: what it is joined from, how it is written
_JOINED: dict[str, tuple[str, dict[str, str]]] = {
    "fragments.mp4": ("h264", {"movflags": "frag_keyframe+empty_moov"}),
    "unended.mp4": ("open", {"movflags": "frag_keyframe+empty_moov+default_base_moof+skip_trailer"}),
    "dash.mp4": ("h264", {"movflags": "dash+global_sidx+frag_keyframe"}),
    "live.mkv": ("open", {"live": "1"}),
    "live.webm": ("vp9", {"live": "1"}),
    "film.ts": ("h264", {}),
    "open.ts": ("open", {}),
    "hevc.ts": ("hevc", {}),
    "mpeg2.ts": ("mpeg2", {}),
    "film.m2ts": ("h264", {"mpegts_m2ts_mode": "1"}),
    "film.mpg": ("mpeg2", {}),
    "film.avi": ("mpeg4", {}),
    "film.flv": ("h264", {}),
    "film.wmv": ("wmv2", {}),
    "film.mjpeg": ("mjpeg", {}),
}


def _without_index(source: Path, target: Path) -> Path:
    data = bytearray(source.read_bytes())
    place = data.rindex(b"idx1")
    data[place : place + 4] = b"JUNK"
    target.write_bytes(data)
    return target


#: name: what it is made from, how
_CHANGED: dict[str, tuple[str, Callable[[Path, Path], Path]]] = {
    "without_index.avi": ("film.avi", _without_index),
    "clock_wraps.ts": ("film.ts", crafted.wrapping),
    "damaged.ts": ("film.ts", lambda source, target: damage(source, target, range(300_000, 9_000_000, 700_000))),
    "damaged.mpg": ("film.mpg", lambda source, target: damage(source, target, range(300_000, 9_000_000, 700_000))),
}
NAMES = [*_JOINED, *_CHANGED]


GREY = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)


@dataclass(frozen=True)
class Known:
    """A film, and what reading all of it met: the packets' bytes and times, the index, the pictures."""

    path: Path
    found: Sniffed
    scan: PacketScan
    packets: list[tuple[int | None, int]]
    reference: Reference


class Alone(Input):
    """An input that must not be read in another way after a leap."""

    def packets(self, position: int) -> Packets:
        raise AssertionError(f"strayed at {position}")


@pytest.fixture(scope="module")
def cage() -> Iterator[Cage]:
    with Cage() as cage:
        yield cage


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Known]:
    folder, known = tmp_path_factory.mktemp("films"), dict[str, Known]()

    def film(name: str) -> Known:
        if name not in known:
            known[name] = _known(_made(folder, name))
        return known[name]

    return film


def _made(folder: Path, name: str) -> Path:
    path = folder / name
    if path.exists():
        return path
    if name in _CHANGED:
        source, change = _CHANGED[name]
        return change(_made(folder, source), path)
    kind, options = _JOINED[name]
    suffix, codec, coding = _CODED[kind]
    source = folder / f"{kind}.{suffix}"
    if not source.exists():
        pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        clip = Clip(source.name, _FRAMES, codec, width=320, height=240, pixel_format=pixels, options=coding)
        replace(clip, picture=noisy).write(folder)
    return repeated(source, path, _TIMES, **options)


def _known(path: Path) -> Known:
    with path.open("rb") as file:
        descriptor, found, packets = file.fileno(), sniff_file(file.fileno()), list[tuple[int | None, int]]()
        with open_video(descriptor, found, MediaLimits()) as video:
            scan = scan_packets(video, MediaLimits())
            scan.units.extend(find_units(descriptor, video).tolist())
        with open_video(descriptor, found, MediaLimits()) as video:
            packets.extend((packet.pts, zlib.crc32(packet)) for packet in video.packets() if packet.size)
    return Known(path, found, scan, packets, reference_decode(path))


@pytest.mark.parametrize("name", NAMES)
def test_after_a_leap_come_the_packets_that_a_full_read_meets(films: Callable[[str], Known], name: str) -> None:
    film, leapt = films(name), 0
    with film.path.open("rb") as file:
        given = Alone(file.fileno(), film.found, MediaLimits())
        for first in runs(film.scan)[3::3].tolist():
            with opened_near(given, film.scan, first, worthwhile_bytes=1) as (_, start, packets):
                if start != first:
                    continue  # the head is read up to here, or nothing is left out
                leapt += 1
                met = [(packet.pts, zlib.crc32(packet)) for packet in packets]
                assert met == film.packets[first:], f"from {first}"
    assert leapt >= 2


@pytest.mark.parametrize("name", NAMES)
def test_a_part_costs_its_own_bytes_and_shows_what_a_full_decode_shows(
    cage: Cage, films: Callable[[str], Known], tmp_path: Path, name: str
) -> None:
    film, hole = films(name), Hole(films(name).path, tmp_path)
    parts = Parts(cage.packets(film.path), hole.fill)
    index = cage.index(film.path)
    assert index.timed
    wanted = np.arange(len(index) * 8 // 10, len(index) * 9 // 10, 3)
    shown = dict(zip(film.reference.pts, film.reference.checksums, strict=True))
    for frames in (list(cage.frames(film.path, wanted)), list(cage.frames(hole.path, wanted, parts=parts))):
        assert [frame.index for frame in frames] == wanted.tolist()
        assert [zlib.crc32(frame.image) for frame in frames] == [shown.get(frame.pts) for frame in frames]
    own = film.scan.pos[int(wanted[-1])] - film.scan.pos[int(wanted[0])]
    head = 9 << 20 if film.path.suffix in (".flv", ".mpg") else 4 << 20
    assert hole.asked_bytes < own + head + (3 << 20), hole.asked


def test_packets_that_begin_in_one_piece_are_not_mistaken_for_each_other(tmp_path: Path) -> None:
    options = {"g": "1", "bf": "0", "qmin": "2", "qmax": "2"}
    clip = Clip("still.mpg", 1500, "mpeg2video", options=options, picture=lambda number, width, height: GREY)
    film = _known(clip.write(tmp_path))
    assert len(set(film.scan.size)) == 1
    assert film.scan.pos.count(-1) > 1000
    with film.path.open("rb") as file:
        given = Alone(file.fileno(), film.found, MediaLimits())
        for first in range(700, 720):
            with opened_near(given, film.scan, first, worthwhile_bytes=1) as (_, start, packets):
                assert start == first
                assert [(packet.pts, zlib.crc32(packet)) for packet in packets] == film.packets[first:]


@pytest.mark.parametrize("name", ["film.ts", "live.mkv", "fragments.mp4", "film.mpg"])
def test_from_where_a_leap_strays_the_file_is_read_from_its_start(films: Callable[[str], Known], name: str) -> None:
    film = films(name)
    first = int(runs(film.scan)[-4])
    for strange in (first, first + 5, len(film.scan) - 1):
        sizes = array("i", film.scan.size)
        sizes[strange] += 1
        with film.path.open("rb") as file:
            given = Input(file.fileno(), film.found, MediaLimits())
            with opened_near(given, replace(film.scan, size=sizes), first) as (_, start, packets):
                assert start == first
                met = [(packet.pts, zlib.crc32(packet)) for packet in packets]
        assert met == film.packets[first:]


def test_packets_that_the_file_no_longer_holds_are_not_made_up(films: Callable[[str], Known], tmp_path: Path) -> None:
    film = films("film.ts")
    first, path = int(runs(film.scan)[-2]), tmp_path / "shorter.ts"
    path.write_bytes(film.path.read_bytes()[: film.scan.pos[first + 6]])
    with path.open("rb") as file, opened_near(
        Input(file.fileno(), film.found, MediaLimits()), film.scan, first
    ) as (_, start, packets):  # fmt: skip
        assert start == first
        assert len(list(packets)) == 6


def test_no_leap_is_made_where_places_say_nothing(films: Callable[[str], Known]) -> None:
    film = films("film.ts")
    scan, last = film.scan, int(runs(film.scan)[-1])
    assert find_leap(scan, film.found, last) is not None
    assert find_leap(scan, film.found, int(runs(scan)[1])) is None, "too near to be worthwhile"
    assert find_leap(replace(scan, counted=True), film.found, last) is None
    assert find_leap(replace(scan, pos=array("q", [-1]) * len(scan)), film.found, last) is None
    assert find_leap(replace(scan, pos=scan.pos[::-1]), film.found, last) is None
    assert find_leap(scan, replace(film.found, formats=("ogg",)), last) is None
    assert find_leap(scan, replace(film.found, formats=("mov",)), last) is None, "an MP4 without fragments"
