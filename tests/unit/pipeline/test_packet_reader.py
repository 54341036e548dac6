"""What is read by jumps is what stands there, and a jump that cannot be trusted is not."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av.error
import numpy as np
import pytest

from pipeline.cage import Cage
from pipeline.container import OpenVideo
from pipeline.index import PacketScan
from pipeline.packet_reader import PacketReader
from pipeline.seek import packets_near
from tests.media import Clip, read_barcode
from tests.opened_films import EDIT_LIST, HIDDEN, opened_anew, written
from tests.reference_decode import reference_decode

FRAMES, GROUP = 480, 40
SMALL = {"frames": FRAMES, "width": 64, "height": 32}
H264 = {"preset": "ultrafast", "bf": "2", "g": str(GROUP), "sc_threshold": "0"}
OPEN_GROUPS = H264 | {"x264-params": "open-gop=1"}
HEVC = {"preset": "ultrafast", "x265-params": f"keyint={GROUP}:min-keyint={GROUP}:scenecut=0:log-level=none"}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
CLIPS = (
    Clip("whole.mp4", options=H264, **SMALL),
    Clip("whole.mkv", options=H264, **SMALL),
    Clip("fragments.mp4", options=H264, container_options=FRAGMENTS, **SMALL),
    Clip("open_groups.mp4", options=OPEN_GROUPS, **SMALL),
    Clip("hevc.mp4", codec="libx265", options=HEVC, **SMALL),
    Clip("stream.ts", options=H264, **SMALL),
)
JUMPED = {"whole.mp4", "whole.mkv", "hevc.mp4", EDIT_LIST}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("films")


@pytest.fixture(scope="module", params=[*(clip.name for clip in CLIPS), EDIT_LIST])
def film(request: pytest.FixtureRequest, folder: Path) -> Path:
    return written(CLIPS, request.param, folder)


@dataclass
class Opened:
    """A film that was indexed and opened anew, with a count of the packets that were read of it."""

    video: OpenVideo
    scan: PacketScan
    read: int = 0

    def reader(self) -> PacketReader:
        return PacketReader(self.video, self.scan, *packets_near(self.video, self.scan, 0), tick=self._tick)

    def _tick(self) -> None:
        self.read += 1


@pytest.fixture
def open_film(film: Path) -> Iterator[Opened]:
    with opened_anew(film) as video_and_scan:
        yield Opened(*video_and_scan)


@pytest.fixture
def open_mp4(folder: Path) -> Iterator[Opened]:
    with opened_anew(CLIPS[0].write(folder)) as video_and_scan:
        yield Opened(*video_and_scan)


def keys(scan: PacketScan) -> list[int]:
    return [position for position, key in enumerate(scan.key) if key]


def test_packets_after_jumps_are_those_that_the_index_saw(open_film: Opened, film: Path) -> None:
    reader, scan = open_film.reader(), open_film.scan
    wanted = keys(scan)[::3]
    assert len(wanted) >= 4
    given = [reader.at(position, apart=True) for position in wanted]
    assert [packet.pts for packet in given if packet] == [scan.pts[position] for position in wanted]
    if film.name in JUMPED:
        assert open_film.read == len(wanted)
    if film.suffix == ".ts":
        assert open_film.read == wanted[-1] + 1


def test_frames_far_apart_are_those_of_a_full_decode(film: Path) -> None:
    reference, hidden = reference_decode(film), HIDDEN if film.name == EDIT_LIST else 0
    with Cage() as cage:
        count = len(cage.index(film))
        for stride in (GROUP // 2, 2 * GROUP + 3, 5 * GROUP):
            wanted = np.arange(stride - 1, count, stride)
            frames = list(cage.frames(film, wanted))
            assert cage.warnings == ()
            assert [zlib.crc32(frame.image) for frame in frames] == [reference.checksums[place] for place in wanted]
            assert [read_barcode(frame.image) for frame in frames] == (wanted + hidden).tolist()


def test_nothing_is_jumped_over_amid_packets_that_belong_together(open_mp4: Opened) -> None:
    reader, far = open_mp4.reader(), keys(open_mp4.scan)[5]
    packet = reader.at(far, apart=False)
    assert packet is not None
    assert packet.pts == open_mp4.scan.pts[far]
    assert open_mp4.read == far + 1


def test_a_jump_that_lands_nowhere_known_is_made_good_by_reading_on(open_mp4: Opened) -> None:
    reader, scan = open_mp4.reader(), open_mp4.scan
    known, doubled, after = keys(scan)[2], keys(scan)[5], keys(scan)[9]
    true = scan.pts[doubled]
    scan.pts[doubled + 1] = true  # two packets of one time: where a jump landed cannot be told by it
    for position in (known, doubled, after):
        packet = reader.at(position, apart=True)
        assert packet is not None
        assert packet.pts == scan.pts[position]
    assert open_mp4.read == 1 + after + 1  # the first jump, and then the film from its start


def test_where_no_jump_can_be_trusted_the_film_ends_with_an_error(open_mp4: Opened) -> None:
    reader = open_mp4.reader()
    for position in range(len(open_mp4.scan)):
        open_mp4.scan.pts[position] = 0
    with pytest.raises(av.error.InvalidDataError):
        reader.at(keys(open_mp4.scan)[5], apart=True)


def test_after_the_last_packet_comes_none(open_mp4: Opened) -> None:
    reader, last = open_mp4.reader(), len(open_mp4.scan) - 1
    assert reader.at(last, apart=False) is not None
    assert reader.at(last + 1, apart=False) is None
