"""The packet index promises what a full decode shows, and says where it cannot."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.cage import Cage
from pipeline.decode import packets_to_feed, runs
from pipeline.errors import MediaError
from pipeline.index import NO_TIME, PacketScan, packet_index
from pipeline.media import MediaLimits
from pipeline.units import is_hidden
from tests import barcodes
from tests.media import Clip


@pytest.fixture(scope="module")
def cage() -> Iterator[Cage]:
    with Cage() as cage:
        yield cage


def scan(
    pts: list[int | None], *, key: str = "", shown: str = "", reset: str = "", dts: list[int] | None = None
) -> PacketScan:
    """Build a scan; key, shown and reset are strings of 0 and 1 (default: the first is key and reset, all shown)."""
    count = len(pts)
    marks = [key or "1" + "0" * (count - 1), shown or "1" * count, reset or "1" + "0" * (count - 1)]
    key_bytes, shown_bytes, reset_bytes = (bytearray(int(mark) for mark in text[:count]) for text in marks)
    times = array("q", (NO_TIME if value is None else value for value in pts))
    return PacketScan(times, array("q", dts or range(count)), key_bytes, shown_bytes, reset_bytes)


def index_of(found: PacketScan) -> tuple[list[int], list[bool], bool]:
    index = packet_index(found, Fraction(1, 1000), Fraction(25))
    return index.pts.tolist(), index.key.tolist(), index.timed


def test_frames_are_ordered_by_presentation() -> None:
    pts, key, timed = index_of(scan([0, 40, 20, 60, 50], key="10010"))
    assert (pts, key, timed) == ([0, 20, 40, 50, 60], [True, False, False, False, True], True)


def test_packets_that_are_not_shown_have_no_place() -> None:
    assert index_of(scan([0, 10, 20, 30], shown="0110"))[0] == [10, 20]


@pytest.mark.parametrize(
    "found",
    [
        scan([0, None, 20]), scan([None, None]), scan([0, 10, 10, 20]), scan([0, 10, 0, 10], dts=[0, 1, 0, 1]),
        scan([0, 10, 20, 30], dts=[0, 20, 10, 30]),
    ],
    ids=["one absent", "all absent", "double", "clock starts again", "decoding times fall"],
)  # fmt: skip
def test_unusable_timestamps_are_replaced_by_counting(found: PacketScan) -> None:
    index = packet_index(found, Fraction(1, 1000), Fraction(25))
    assert not index.timed
    assert index.pts.tolist() == list(range(len(found)))
    assert index.time_base == Fraction(1, 25)


def test_an_empty_scan_gives_an_empty_index() -> None:
    assert index_of(scan([])) == ([], [], True)
    assert len(runs(scan([]))) == 0


@pytest.mark.parametrize(
    ("found", "starts"),
    [
        (scan([0, 1, 2, 3], reset="1010", key="1010"), [0, 2]),
        (scan([0, 3, 2, 1, 6, 5, 7], reset="1000100", key="1000100"), [0, 4]),  # 5 leads 6
        (scan([0, 5, 4, 6], reset="1010", key="1010"), [0]),  # 5 of the run before is shown after the reset
        (scan([7, 8, 0, 1, 2, 3], reset="001010", key="001010"), [2]),  # nothing before the first keyframe
        (scan([0, 1, 2], reset="100", key="101"), [0]),
        (scan([0, 1, 4, 5, 2, 3, 6], reset="1010101", key="1010101"), [0, 6]),  # back from 5 to 2
    ],
    ids=["closed", "led", "overlap", "late start", "key that is no reset", "edited"],
)
def test_a_run_starts_at_a_reset_shown_after_all_before(found: PacketScan, starts: list[int]) -> None:
    assert runs(found).tolist() == starts


OPEN = scan([0, 3, 1, 2, 6, 4, 5, 9, 7, 8, 10], key="10001001000", reset="10001001000")


@pytest.mark.parametrize(
    ("wanted", "fed"),
    [
        ([0], "10000000000"),
        ([3], "11000000000"),
        ([6], "00001000000"),  # what leads 6 is not fed
        ([10], "00000001001"),
        ([4], "11111100000"),  # leads 6: the run before is needed to its end
        ([6, 7], "00001111100"),  # 7 leads 9 and needs 6's run, but not what leads 6
        ([0, 10], "10000001001"),
        ([4, 10], "11111101001"),
    ],
)
def test_no_more_packets_are_fed_than_the_wanted_frames_need(wanted: list[int], fed: str) -> None:
    index = packet_index(OPEN, Fraction(1, 1000), Fraction(25))
    places = np.searchsorted(index.pts, wanted)
    assert "".join(str(int(flag)) for flag in packets_to_feed(OPEN, index, places)) == fed


@pytest.mark.parametrize(
    ("codec", "data", "hidden"),
    [
        ("vp8", b"\x10\0\0", False), ("vp8", b"\x00\0\0", True), ("h264", b"\0\0\0", False),
        ("vp9", bytes([0b10000010, 0]), False), ("vp9", bytes([0b10000000, 0]), True),
        ("vp9", bytes([0b10001000, 0]), False), ("vp9", bytes([0b10110000, 0]), True),
        ("vp9", bytes([0b10110001, 0]), False), ("vp9", bytes([0b10000000, 0xC0]), False),
    ],
)  # fmt: skip
def test_invisible_frames_are_known_by_their_header(codec: str, data: bytes, hidden: bool) -> None:
    import av

    assert is_hidden(av.Packet(data), codec) is hidden


def test_hidden_reference_frames_are_packets_but_no_frames(cage: Cage, tmp_path: Path) -> None:
    path = barcodes.make("vp8_hidden_frames.webm", tmp_path)
    assert len(cage.index(path)) == 88
    assert barcodes.packet_count(path) == 90


def test_keys_stand_where_decoding_may_start(cage: Cage, tmp_path: Path) -> None:
    path = barcodes.make("gop12.mp4", tmp_path)
    assert np.flatnonzero(cage.index(path).key).tolist() == list(range(0, 90, 12))


def test_too_many_frames_are_refused(tmp_path: Path) -> None:
    path = Clip("many.ts", frames=30).write(tmp_path)
    with Cage(MediaLimits(max_frames=29)) as cage:
        cage.probe(path)
        with pytest.raises(MediaError) as caught:
            cage.index(path)
    assert caught.value.code == "media.too_long"


def test_a_video_longer_than_it_claims_is_refused_by_its_packets(tmp_path: Path) -> None:
    path = Clip("long.ts", frames=60, rate=10).write(tmp_path)
    with Cage(MediaLimits(max_duration_seconds=5)) as cage, pytest.raises(MediaError) as caught:
        cage.index(path)
    assert caught.value.code == "media.too_long"
