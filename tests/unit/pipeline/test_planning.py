"""Where inputs are cut."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import sampling
from pipeline.media import PacketIndex
from pipeline.planning import Range, cut_ranges, select


@st.composite
def indexes(draw):
    gaps = draw(st.lists(st.integers(1, 5), min_size=1, max_size=200))
    pts = np.cumsum(gaps).astype(np.int64) + draw(st.integers(-1000, 1000))
    key = np.array(draw(st.lists(st.booleans(), min_size=len(pts), max_size=len(pts))))
    return PacketIndex(pts=pts, key=key, time_base=Fraction(1, draw(st.sampled_from([25, 1000, 90000]))))


SAMPLERS = st.one_of(
    st.builds(lambda stride: {"policy": "stride", "stride": stride}, st.integers(1, 60)),
    st.builds(lambda fps: {"policy": "fps", "fps": fps}, st.floats(0.1, 60)),
    st.just({"policy": "keyframes"}),
)
COSTS = st.floats(0, 2)


@settings(max_examples=300)
@given(indexes(), SAMPLERS, COSTS, COSTS, st.floats(0.001, 50))
def test_ranges_hold_every_chosen_frame_once_in_order_for_any_cut(index, sampler, frame_cost, decode_cost, length):
    chosen = sampling.choose(index, sampler)
    ranges = cut_ranges(
        index, chosen, frame_seconds=frame_cost, decode_frame_seconds=decode_cost, segment_seconds=length
    )
    parts = [select(index, chosen, span) for span in ranges]
    assert np.concatenate([part.wanted for part in parts]).tolist() == chosen.tolist()
    assert [span.frames for span in ranges] == [len(part.wanted) for part in parts]
    assert all(span.frames >= 1 for span in ranges)
    assert ranges[0].start_pts is None
    assert ranges[-1].end_pts is None
    assert all(one.end_pts == other.start_pts for one, other in pairwise(ranges))
    keys = set(index.pts[index.key].tolist())
    assert all(span.start_pts in keys for span in ranges[1:])


@settings(max_examples=100)
@given(indexes(), SAMPLERS, st.floats(0.001, 5), st.floats(0, 3), st.integers(0, 9))
def test_a_lead_in_is_the_chosen_frames_just_before_the_range_and_is_not_reported(
    index, sampler, length, seconds, frames
):
    chosen = sampling.choose(index, sampler)
    for span in cut_ranges(index, chosen, frame_seconds=0.1, decode_frame_seconds=0.01, segment_seconds=length):
        plain = select(index, chosen, span)
        led = select(index, chosen, span, lead_in_seconds=seconds, lead_in_frames=frames)
        extra = len(led.wanted) - len(plain.wanted)
        assert led.wanted[extra:].tolist() == plain.wanted.tolist()
        assert (led.wanted[:extra] < led.report_from).all()
        assert (plain.wanted >= led.report_from).all()
        before = int(np.searchsorted(chosen, plain.wanted[0]))
        if span.start_pts is None:
            assert extra == 0
        else:
            assert extra >= min(frames, before)
            if seconds > 0:
                assert extra >= min(1, before)


def index_of(frames, gop, rate=25, timed=True):
    return PacketIndex(np.arange(frames), np.arange(frames) % gop == 0, Fraction(1, rate), timed)


def cut(index, chosen, length=1.0, frame=0.1, decode=0.0):
    return cut_ranges(index, chosen, frame_seconds=frame, decode_frame_seconds=decode, segment_seconds=length)


def test_an_input_without_usable_times_is_one_range():
    index = index_of(1000, 10, timed=False)
    assert cut(index, np.arange(1000)) == (Range(None, None, 1000, 100.0),)


def test_ranges_are_about_as_long_as_asked_and_none_is_a_short_rest():
    ranges = cut(index_of(1050, 10), np.arange(1050), length=10.0)
    assert len(ranges) == 10
    assert all(9 <= span.cost_seconds <= 12 for span in ranges)


def test_a_long_group_of_pictures_is_not_cut():
    assert len(cut(index_of(1000, 1000), np.arange(1000))) == 1


def test_decoding_counts_where_few_frames_are_looked_at():
    index = index_of(10_000, 50)
    chosen = np.arange(0, 10_000, 50)
    cheap = cut(index, chosen, decode=0.0, frame=0.01, length=1.0)
    dear = cut(index, np.arange(49, 10_000, 50), decode=0.01, frame=0.01, length=1.0)
    assert len(cheap) == 2  # 200 frames of 10 ms; of each group only the key is decoded, and that is free here
    assert len(dear) == 102  # the last of each group: all 50 before it are decoded too


def test_a_segment_length_of_nothing_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        cut(index_of(10, 5), np.arange(10), length=0)


def test_a_plan_is_the_same_every_time():
    index, chosen = index_of(5000, 12), np.arange(0, 5000, 7)
    assert cut(index, chosen, length=0.7) == cut(index, chosen.copy(), length=0.7)
