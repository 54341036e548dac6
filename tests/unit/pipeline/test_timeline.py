"""Curves and stretches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.pipelines.timeline import Curve, Pace, Stretches

TIMES = st.lists(st.floats(-10, 100_000), min_size=1, max_size=200).map(sorted)


@given(TIMES, st.integers(2, 20))
def test_a_curve_never_holds_more_points_than_allowed_and_loses_no_frame(times, limit):
    curve = Curve(limit)
    for seconds in times:
        curve.add(seconds, {"x": 1.0})
    points = curve.points()
    assert 1 <= len(points) <= limit
    assert all(means == {"x": 1.0} for _, means, _ in points)
    starts = [start for start, _, _ in points]
    assert starts == sorted(starts)
    assert all(any(start <= seconds < start + curve.bin_seconds for start in starts) for seconds in times)


def test_a_name_left_out_of_a_frame_counts_as_nothing_in_the_mean():
    curve = Curve()
    curve.add(0.1, {"person": 2})
    curve.add(0.9, {})
    assert curve.points() == [(0, {"person": 1.0}, {"person": 2})]


def test_bins_that_are_joined_keep_mean_and_peak():
    curve = Curve(1)
    curve.add(0.0, {"x": 1})
    curve.add(1.0, {"x": 5, "y": 1})
    assert (curve.bin_seconds, curve.points()) == (2, [(0, {"x": 3.0, "y": 0.5}, {"x": 5, "y": 1})])


def told(values, **options):
    stretches, pace = Stretches(**options), Pace()
    for place, value in enumerate(values):
        pace.step(place / 2)
        stretches.add(place / 2, value)
    return [(one["from_seconds"], one["to_seconds"], one["value"]) for one in stretches.finish(pace.end_seconds)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([None], []),
        (["a"], [(0.0, 0.0, "a")]),
        (["a", "a", "b"], [(0.0, 1.0, "a"), (1.0, 1.5, "b")]),
        ([None, "a", None, "a"], [(0.5, 1.0, "a"), (1.5, 2.0, "a")]),
    ],
)
def test_a_stretch_runs_to_the_first_frame_that_differs(values, expected):
    assert told(values) == expected


def test_short_stretches_are_left_out_but_their_time_is_counted():
    assert told(["a", None, "a", "a", None], min_seconds=0.6) == [(1.0, 2.0, "a")]
    stretches = Stretches(min_seconds=5)
    for seconds, value in [(0.0, "a"), (1.0, None), (2.0, "a")]:
        stretches.add(seconds, value)
    assert stretches.finish(4.0) == []
    assert stretches.seconds == {"a": 3.0}


def test_stretches_beyond_the_limit_are_told_of():
    stretches = Stretches(max_entries=2)
    for place in range(8):
        stretches.add(place, place)
    assert len(stretches.finish(8)) == 2
    assert stretches.truncated
    assert len(stretches.seconds) == 8


def test_the_last_frame_stands_as_long_as_the_one_before():
    pace = Pace()
    for seconds in (3.0, 4.0, 6.0):
        pace.step(seconds)
    assert (pace.end_seconds, pace.span_seconds) == (8.0, 5.0)
    assert Pace().span_seconds == 0.0


@pytest.mark.parametrize(
    ("length", "end"),
    [(11.7, 11.7), (30.0, 20.0), (None, 20.0), (8.0, 10.0)],
    ids=["cut", "longer", "unknown", "shorter"],
)
def test_the_last_frame_stands_no_longer_than_the_input(length, end):
    pace = Pace()
    for seconds in (0.0, 10.0):  # keyframes ten seconds apart
        pace.step(seconds)
    assert pace.end_within(length) == end
