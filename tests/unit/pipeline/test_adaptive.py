"""The adaptive rule keeps the same frames however a video is cut, and never loses sight of it for long."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.adaptive import (
    CHANGED_LEVELS,
    THRESHOLDS,
    Gate,
    Rule,
    anchors,
    changed_share,
    lead_in,
    pick_threshold,
    starts_at_anchors,
)
from pipeline.choosing import FIRST_PASS_FRAMES, first_pass
from pipeline.media import PacketIndex
from pipeline.planning import cut_ranges, select


@st.composite
def films(draw):
    """An index and the level of each picture: how many of its ten cells are white."""
    gaps = draw(st.lists(st.integers(1, 9), min_size=1, max_size=150))
    pts = np.cumsum(gaps).astype(np.int64) + draw(st.integers(-50, 50))
    gop = draw(st.integers(1, 40))
    key = np.arange(len(pts)) % gop == 0
    key[0] = draw(st.booleans())
    levels = draw(st.lists(st.integers(0, 10), min_size=len(pts), max_size=len(pts)))
    return PacketIndex(pts, key, Fraction(1, draw(st.sampled_from([10, 25, 1000])))), levels


rules = st.builds(
    lambda threshold, low, more: Rule(threshold, low, low + more),
    st.sampled_from([0.0, 0.1, 0.35, 0.8, 1.0]),
    st.sampled_from([0.0, 0.05, 0.4]),
    st.sampled_from([0.01, 0.2, 1.0, 30.0]),
)


def cells(level):
    picture = np.zeros((2, 5), np.uint8)
    picture.flat[:level] = 255
    return picture


def heads_of(index, rule, candidates):
    """The first candidate from each anchor on."""
    places = np.searchsorted(candidates, anchors(index, rule.max_gap_seconds))
    return set(candidates[places[places < len(candidates)]].tolist())


def kept(index, rule, candidates, levels):
    gate = Gate(rule, index)
    return [place for place in candidates.tolist() if gate.keeps(place, lambda place=place: cells(levels[place]))]


@settings(max_examples=150, deadline=None)
@given(films(), rules, st.integers(1, 7), st.floats(0.01, 5), st.integers(0, 8), st.sampled_from([0.0, 0.3, 4.0]))
def test_a_video_cut_anywhere_keeps_the_frames_of_the_whole(film, rule, stride, length, frames, seconds):
    index, levels = film
    candidates = np.arange(0, len(index), stride)
    whole = kept(index, rule, candidates, levels)
    cuts = starts_at_anchors(index, rule.max_gap_seconds)
    spans = cut_ranges(cuts, candidates, frame_seconds=0.1, decode_frame_seconds=0.01, segment_seconds=length)
    found = []
    for span in spans:
        part = select(index, candidates, span, lead_in_seconds=seconds, lead_in_frames=frames, rule=rule)
        own = kept(index, rule, part.wanted, levels)
        reported = [place for place in own if place >= part.report_from]
        before = [place for place in whole if place < part.report_from]
        led = [place for place in own if place < part.report_from]
        assert led == before[len(before) - len(led) :]
        assert len(led) >= min(frames, len(before))
        if span.start_pts is not None and seconds and before:
            assert led
        found += reported
    assert found == whole


@given(films(), rules, st.integers(1, 7))
def test_the_first_candidate_is_kept_and_no_gap_is_longer_than_the_longest_or_shorter_than_the_shortest(
    film, rule, stride
):
    index, levels = film
    candidates = np.arange(0, len(index), stride)
    found = kept(index, rule, candidates, levels)
    assert found[0] == 0
    unit, heads = float(index.time_base), heads_of(index, rule, candidates)
    for one, other in pairwise(found):
        gap = float(index.pts[other] - index.pts[one]) * unit
        assert other in heads or gap + unit >= rule.min_gap_seconds
    for place in candidates.tolist():
        since = max(one for one in found if one <= place)
        assert float(index.pts[place] - index.pts[since]) * unit < rule.max_gap_seconds + unit


@given(films(), st.integers(1, 5))
def test_a_change_above_the_threshold_is_kept_and_one_below_is_not(film, stride):
    index, levels = film
    rule = Rule(0.25, 0.0, 1e6)
    last = None
    for place in (found := kept(index, rule, np.arange(0, len(index), stride), levels)):
        assert last is None or abs(levels[place] - levels[last]) > 2
        last = place
    skipped = set(range(0, len(index), stride)) - set(found)
    assert all(abs(levels[place] - levels[max(one for one in found if one < place)]) <= 2 for place in skipped)


@given(films(), st.sampled_from([0.01, 0.3, 2.0, 1000.0]))
def test_anchors_are_keys_far_enough_apart_and_a_longer_video_keeps_those_of_its_beginning(film, gap):
    index, _ = film
    found = anchors(index, gap)
    assert found[0] == 0
    assert index.key[found[1:]].all()
    apart = np.diff(index.pts[found]).astype(float) * float(index.time_base)
    assert (apart + float(index.time_base) >= gap).all()
    half = len(index) // 2 + 1
    beginning = PacketIndex(index.pts[:half], index.key[:half], index.time_base)
    assert anchors(beginning, gap).tolist() == [place for place in found if place < half]


@given(films(), st.integers(0, 40), st.sampled_from([0.0, 0.3]), st.sampled_from([0.0, 3.0]))
def test_the_threshold_picked_is_the_lowest_that_keeps_the_budget(film, wanted, shortest, longest):
    index, levels = film
    rule = Rule(0.5, shortest, longest + 0.5)
    looks = [(place, cells(level)) for place, level in enumerate(levels)]
    threshold, count = pick_threshold(looks, rule, index, wanted)
    at = {value: len(kept(index, Rule(value, shortest, longest + 0.5), np.arange(len(index)), levels))
          for value in {THRESHOLDS[0], threshold, THRESHOLDS[-1]}}  # fmt: skip
    assert count == at[threshold]
    assert count <= wanted or threshold == THRESHOLDS[-1]
    if at[THRESHOLDS[0]] <= wanted:
        assert threshold == THRESHOLDS[0]


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1), st.sampled_from([2, 14, 15, 16, 17, 255]))
def test_a_cell_has_changed_where_it_is_off_by_more_than_so_many_levels_at_the_ends_of_the_scale_too(
    rows, columns, seed, off
):
    random = np.random.default_rng(seed)
    one = random.choice(np.array([0, 1, 14, 15, 16, 120, 239, 240, 241, 255]), (rows, columns))
    other = np.clip(one + random.integers(-off, off, (rows, columns), endpoint=True), 0, 255)
    expected = (np.abs(one - other) > CHANGED_LEVELS).mean()
    assert changed_share(one.astype(np.uint8), other.astype(np.uint8)) == pytest.approx(expected)


def test_pictures_of_another_size_are_another_picture():
    assert changed_share(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8)) == 1.0
    assert changed_share(cells(0), cells(3)) == pytest.approx(0.3)


def test_a_lead_in_at_the_very_beginning_is_none():
    index = PacketIndex(np.arange(100), np.arange(100) % 10 == 0, Fraction(1, 10))
    assert lead_in(index, np.arange(100), 0, 1.0, frames=8, seconds=5.0) == 0
    assert lead_in(index, np.arange(100), 100, 1.0, frames=8, seconds=5.0) == 100


@pytest.mark.parametrize(
    ("frames", "gop", "stride"), [(1000, 30, 1), (60_000, 250, 5), (60_000, 60_000, 5), (60_000, 1, 7)]
)
def test_the_first_pass_is_short_and_begins_each_stretch_where_the_rule_does(frames, gop, stride):
    index = PacketIndex(np.arange(frames), np.arange(frames) % gop == 0, Fraction(1, 25))
    rule, places = Rule(0.03, 0.0, 5.0), np.arange(0, frames, stride)
    seen = first_pass(index, places, rule)
    assert len(seen) * stride <= 1.2 * max(FIRST_PASS_FRAMES, 64 * stride)
    assert np.isin(seen, places).all()
    assert (np.diff(seen) > 0).all()
    heads = heads_of(index, rule, places)
    begins = [seen[0], *(other for one, other in pairwise(seen.tolist()) if other - one > stride)]
    assert set(begins) <= heads
    if frames <= FIRST_PASS_FRAMES:
        assert seen.tolist() == places.tolist()
