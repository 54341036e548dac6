"""A jump lands where it says, or it is not made."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.cage import Cage
from pipeline.container import OpenVideo
from pipeline.index import PacketScan
from pipeline.seek import packets_near
from tests.media import Clip, read_barcode
from tests.opened_films import EDIT_LIST, HIDDEN, opened_anew, written
from tests.reference_decode import reference_decode

FAST = {"preset": "ultrafast", "bf": "2", "g": "60"}
FRAMES = 1300
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
CLIPS = [
    Clip("long.mp4", frames=FRAMES, width=64, height=32, options=FAST),
    Clip("long.mkv", frames=FRAMES, width=64, height=32, options=FAST),
    Clip("fragments.mp4", frames=FRAMES, width=64, height=32, options=FAST, container_options=FRAGMENTS),
    Clip("long.ts", frames=FRAMES, width=64, height=32, options=FAST),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("long")


@pytest.fixture(scope="module", params=[*(clip.name for clip in CLIPS), EDIT_LIST])
def film(request: pytest.FixtureRequest, folder: Path) -> Path:
    return written(CLIPS, request.param, folder)


@pytest.fixture
def opened(film: Path) -> Iterator[tuple[OpenVideo, PacketScan]]:
    with opened_anew(film) as video_and_scan:
        yield video_and_scan


@pytest.mark.parametrize("first", [0, 499, 777, 1000, FRAMES - 1])
def test_after_a_jump_come_the_packets_that_the_index_saw_there(
    opened: tuple[OpenVideo, PacketScan], film: Path, first: int
) -> None:
    video, scan = opened
    near = packets_near(video, scan, first)
    assert near is not None
    start, packets = near
    assert start <= first
    assert (start > 0) == (first >= 500 and film.suffix != ".ts")
    assert [packet.pts for packet in packets] == scan.pts[start:].tolist()


def test_frames_after_a_jump_are_those_of_a_full_decode(film: Path) -> None:
    reference = reference_decode(film)
    with Cage() as cage:
        count = len(cage.index(film))
        for wanted in (np.arange(count - 90, count, 7), np.array([600, 601, 1100]), np.array([count - 1])):
            frames = list(cage.frames(film, wanted))
            assert [frame.index for frame in frames] == wanted.tolist()
            assert [zlib.crc32(frame.image) for frame in frames] == [reference.checksums[place] for place in wanted]
            hidden = HIDDEN if film.name == EDIT_LIST else 0
            assert [read_barcode(frame.image) for frame in frames] == (wanted + hidden).tolist()


def test_no_jump_is_made_where_timestamps_name_no_single_packet(opened: tuple[OpenVideo, PacketScan]) -> None:
    video, scan = opened
    for place in range(len(scan)):
        scan.pts[place] = 0
    near = packets_near(video, scan, 1000)
    assert near is None or near[0] == 0


def test_a_cut_off_end_is_no_trap(folder: Path) -> None:
    whole = CLIPS[1].write(folder)
    path = folder / "cut.mkv"
    path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.8)])
    with Cage() as cage:
        count = len(cage.index(path))
        (frame,) = cage.frames(path, np.array([count - 2]))
        assert read_barcode(frame.image) == count - 2
