"""The packets of a video come back as they were written, or not at all."""

from __future__ import annotations

import random
from array import array
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.index import NO_TIME, PacketScan
from pipeline.index_file import KnownPackets, pack, unpack
from pipeline.media import MediaLimits

LIMITS = MediaLimits()
TIMES = st.one_of(st.just(NO_TIME), st.integers(-(2**62), 2**62))


@st.composite
def scans(draw: st.DrawFn) -> PacketScan:
    count = draw(st.integers(0, 40))
    marks = st.lists(st.integers(0, 1), min_size=count, max_size=count)
    times = st.lists(TIMES, min_size=count, max_size=count)
    return PacketScan(
        pts=array("q", draw(times)),
        dts=array("q", draw(times)),
        key=bytearray(draw(marks)),
        shown=bytearray(draw(marks)),
        reset=bytearray(draw(marks)),
        pos=array("q", draw(times)),
        size=array("i", draw(st.lists(st.integers(1, 2**31 - 1), min_size=count, max_size=count))),
        units=array("q", draw(st.lists(TIMES, max_size=5))),
        broken=draw(st.booleans()),
        top_layer=draw(st.integers(0, 6)),
        counted=draw(st.booleans()),
    )


def known(scan: PacketScan) -> KnownPackets:
    return KnownPackets(scan, Fraction(1, 12800), Fraction(30000, 1001), [{"code": "media.damaged", "message": "ä"}])


@settings(deadline=None, max_examples=50)
@given(scan=scans())
def test_what_was_written_comes_back(scan: PacketScan) -> None:
    assert unpack(pack(known(scan)), LIMITS) == known(scan)


@cache
def two_hours() -> bytes:
    count = 2 * 3600 * 30
    marks = bytearray(number % 250 == 0 for number in range(count))
    times = array("q", range(0, 512 * count, 512))
    dice = random.Random(1)
    sizes = array("i", (int(dice.lognormvariate(9, 1)) for _ in range(count)))
    places = array("q", accumulate(188 * (size // 170) for size in sizes))
    return pack(known(PacketScan(times, times, marks, bytearray(b"\1" * count), marks, places, sizes)))


def test_two_hours_take_six_bytes_a_packet_at_most() -> None:
    assert len(two_hours()) < 6 * 2 * 3600 * 30


@pytest.mark.parametrize("seed", range(60))
def test_damaged_bytes_are_refused_or_give_columns_of_one_length(seed: int) -> None:
    dice, data = random.Random(seed), bytearray(two_hours())
    if seed % 3 == 0:
        del data[dice.randrange(len(data)) :]
    for _ in range(4):
        if data:
            data[dice.randrange(len(data))] = dice.randrange(256)
    try:
        scan = unpack(bytes(data), LIMITS).scan
    except ValueError:
        return
    columns = (scan.pts, scan.dts, scan.key, scan.shown, scan.reset, scan.pos, scan.size)
    assert len({len(column) for column in columns}) == 1


def test_more_packets_than_allowed_are_refused_before_they_are_read() -> None:
    data = two_hours()
    with pytest.raises(ValueError, match="larger than any index"):
        unpack(data, replace(LIMITS, max_frames=100))


@pytest.mark.parametrize("data", [b"", b"PK", b"\0" * 100])
def test_other_bytes_are_no_index(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        unpack(data, LIMITS)
