"""The packets of a video come back as they were written, or not at all."""

from __future__ import annotations

import random
from array import array
from dataclasses import replace
from fractions import Fraction
from functools import cache

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
    return pack(known(PacketScan(times, times, marks, bytearray(b"\1" * count), marks)))


def test_two_hours_take_less_than_half_a_megabyte() -> None:
    assert len(two_hours()) < 500_000


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
    assert len(scan.pts) == len(scan.dts) == len(scan.key) == len(scan.shown) == len(scan.reset)


def test_more_packets_than_allowed_are_refused_before_they_are_read() -> None:
    data = two_hours()
    with pytest.raises(ValueError, match="larger than any index"):
        unpack(data, replace(LIMITS, max_frames=100))


@pytest.mark.parametrize("data", [b"", b"PK", b"\0" * 100])
def test_other_bytes_are_no_index(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        unpack(data, LIMITS)
