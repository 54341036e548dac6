"""A film may be entered at IDR pictures and at recovery points that promise exact pictures, nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.container import open_video
from pipeline.decode import packets_to_feed, runs
from pipeline.h264 import is_h264_reset
from pipeline.index import packet_index, scan_packets
from pipeline.media import MediaLimits
from pipeline.sniff import sniff_file
from tests import barcodes

IDR, HEADER, SLICE, SEI = b"\x65", b"\x67", b"\x41", b"\x06"
#: bits: macroblock 0, then the slice's type
INTRA, INTRA_ALONE, PREDICTED = SLICE + b"\xb0", SLICE + b"\x88", SLICE + b"\xe0"
#: recovery_frame_cnt, exact_match_flag, broken_link_flag, then the end of the message
EXACT, LATER, ABOUT, BROKEN = b"\x06\x01\xc4", b"\x06\x01\x64", b"\x06\x01\x84", b"\x06\x01\xe4"
OTHER = b"\x05\x03abc"


def packet(*units: bytes) -> tuple[memoryview, list[int]]:
    data, places = b"", []
    for unit in units:
        data += b"\0\0\1"
        places.append(len(data))
        data += unit + bytes(4)
    return memoryview(data), places


@pytest.mark.parametrize(
    ("units", "reset"),
    [
        ((HEADER, IDR), True), ((SEI + EXACT, INTRA), True), ((SEI + OTHER + EXACT, INTRA_ALONE), True),
        ((SEI + OTHER, SEI + EXACT, INTRA, INTRA), True), ((INTRA,), False), ((SEI + OTHER, INTRA), False),
        ((SEI + LATER, INTRA), False), ((SEI + ABOUT, INTRA), False), ((SEI + BROKEN, INTRA), False),
        ((SEI + EXACT, PREDICTED), False), ((SEI + EXACT, INTRA, PREDICTED), False), ((SEI + EXACT,), False),
        ((SEI,), False), ((), False),
    ],
)  # fmt: skip
def test_a_film_may_be_entered_where_the_encoder_vouches_for_it(units: tuple[bytes, ...], reset: bool) -> None:
    assert is_h264_reset(*packet(*units)) is reset


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
def test_no_bytes_break_the_reader(units: list[bytes]) -> None:
    expected_only_if = any(unit[0] & 31 in (1, 5) for unit in units)
    assert is_h264_reset(*packet(*units)) <= expected_only_if


@pytest.mark.parametrize("name", ["open_gop.mp4", "open_gop.ts", "open_gop.mkv"])
def test_open_groups_are_entered_at_their_keyframes(name: str, tmp_path: Path) -> None:
    limits = MediaLimits()
    with barcodes.make(name, tmp_path).open("rb") as file:
        with open_video(file.fileno(), sniff_file(file.fileno()), limits) as video:
            scan = scan_packets(video, limits)
            index = packet_index(scan, video.time_base, video.rate)
    assert len(runs(scan)) == scan.key.count(1) > 4
    assert packets_to_feed(scan, index, np.array([len(index) - 2])).sum() < 20
