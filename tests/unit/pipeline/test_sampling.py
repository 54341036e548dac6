"""The choice of frames is pure, starts with the first, and does not depend on how the video is later cut."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pipeline.errors import ParamsError
from pipeline.media import PacketIndex
from pipeline.sampler_schema import POLICIES, SAMPLER_SCHEMA
from pipeline.sampling import _first_at_or_after, choose, label, left_out
from pipeline.spec import ParamsInvalid, canonical_params


@st.composite
def indexes(draw: st.DrawFn) -> PacketIndex:
    gaps = draw(st.lists(st.integers(1, 5000), min_size=1, max_size=120))
    start = draw(st.integers(-100_000, 10**9))
    key = draw(st.lists(st.booleans(), min_size=len(gaps), max_size=len(gaps)))
    base = draw(st.sampled_from([Fraction(1, 25), Fraction(1, 1000), Fraction(1, 90_000), Fraction(1001, 30_000)]))
    return PacketIndex(start + np.cumsum(gaps).astype(np.int64), np.array(key), base)


samplers = st.one_of(
    st.builds(lambda n: {"policy": "stride", "stride": n}, st.integers(1, 200)),
    st.builds(lambda f: {"policy": "fps", "fps": f}, st.floats(0.01, 240, allow_nan=False)),
    st.builds(lambda n: {"policy": "adaptive", "stride": n}, st.integers(1, 200)),
    st.just({"policy": "keyframes"}),
)
every_so_often = st.builds(
    lambda seconds, tolerance: {"policy": "every", "every_seconds": seconds, "tolerance": tolerance},
    st.floats(0.01, 100, allow_nan=False),
    st.floats(0, 0.5, allow_nan=False),
)


def regular(count: int, base: Fraction, step: int = 1) -> PacketIndex:
    return PacketIndex(np.arange(count, dtype=np.int64) * step, np.zeros(count, bool), base)


@given(indexes(), samplers | every_so_often)
def test_places_rise_without_doubles_inside_the_range_from_the_first(index: PacketIndex, sampler: dict) -> None:
    places = choose(index, sampler)
    assert places.dtype == np.int64
    assert places[0] == 0
    assert places[-1] < len(index)
    assert np.all(np.diff(places) > 0)


@given(indexes(), samplers, st.data())
def test_a_longer_video_keeps_the_choice_made_for_its_beginning(
    index: PacketIndex, sampler: dict, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, len(index)))
    beginning = PacketIndex(index.pts[:count], index.key[:count], index.time_base)
    whole = choose(index, sampler)
    assert choose(beginning, sampler).tolist() == whole[whole < count].tolist()


@given(indexes(), samplers | every_so_often, st.integers(-(10**6), 10**6))
def test_the_choice_does_not_depend_on_where_the_clock_starts(index: PacketIndex, sampler: dict, shift: int) -> None:
    moved = PacketIndex(index.pts + shift, index.key, index.time_base)
    assert choose(moved, sampler).tolist() == choose(index, sampler).tolist()


@given(indexes(), st.floats(0.01, 240, allow_nan=False))
def test_fps_takes_the_first_frame_at_or_after_each_instant_within_half_a_unit(index: PacketIndex, fps: float) -> None:
    rate = Fraction(str(fps)).limit_denominator(1_000_000)
    ticks = [(int(value - index.pts[0]) + Fraction(1, 2)) * index.time_base * rate for value in index.pts]
    expected, reached = [0], 0
    for place, tick in enumerate(ticks):
        if place and int(tick) > reached:
            expected.append(place)
        reached = int(tick)
    assert choose(index, {"policy": "fps", "fps": fps}).tolist() == expected


def test_sampling_at_the_rate_of_a_rounding_container_keeps_every_frame() -> None:
    milliseconds = np.array([round(number * 1000 / 30) for number in range(600)], np.int64)
    index = PacketIndex(milliseconds, np.zeros(600, bool), Fraction(1, 1000))
    assert len(choose(index, {"policy": "fps", "fps": 30})) == 600


@pytest.mark.parametrize(("fps", "expected"), [(25, 100), (5, 20), (1, 4), (0.5, 2), (100, 100)], ids=str)
def test_fps_keeps_so_many_a_second_and_never_more_than_there_are(fps: float, expected: int) -> None:
    assert len(choose(regular(100, Fraction(1, 25)), {"policy": "fps", "fps": fps})) == expected


def test_fps_keeps_every_fifth_frame_at_a_fifth_of_the_rate() -> None:
    chosen = choose(regular(50, Fraction(1, 12_800), 512), {"policy": "fps", "fps": 5})
    assert chosen.tolist() == list(range(0, 50, 5))


def test_a_gap_in_the_video_gives_one_frame_and_no_doubles() -> None:
    pts = np.array([0, 10, 20, 5000, 5010], np.int64)
    index = PacketIndex(pts, np.zeros(5, bool), Fraction(1, 1000))
    assert choose(index, {"policy": "fps", "fps": 1}).tolist() == [0, 3]


def test_times_beyond_64_bit_products_are_exact() -> None:
    pts = np.array([0, 2**52, 2**53], np.int64)
    index = PacketIndex(pts, np.zeros(3, bool), Fraction(1, 2**52))
    assert choose(index, {"policy": "fps", "fps": 0.999999}).tolist() == [0, 2]


def test_an_empty_index_gives_no_frames() -> None:
    assert len(choose(regular(0, Fraction(1, 25)), {"policy": "stride", "stride": 5})) == 0


@pytest.mark.parametrize(
    ("sampler", "text"),
    [({}, "stride:5"), ({"policy": "stride", "stride": 12}, "stride:12"), ({"policy": "fps", "fps": 2.5}, "fps:2.5"),
     ({"policy": "fps", "fps": 2}, "fps:2"), ({"policy": "keyframes"}, "keyframes"),
     ({"policy": "at", "at_seconds": [1, 2]}, "at"), ({"policy": "every", "every_seconds": 10}, "every:10"),
     ({"policy": "adaptive"}, "adaptive:0.03"), ({"policy": "adaptive", "threshold": 0.1234}, "adaptive:0.1234")],
)  # fmt: skip
def test_label_names_policy_and_number(sampler: dict, text: str) -> None:
    assert label(sampler) == text


@pytest.mark.parametrize(
    "sampler",
    [{"policy": "best"}, {"stride": 0}, {"policy": "fps", "fps": 0}, {"policy": "at"},
     {"policy": "at", "at_seconds": []}, {"policy": "at", "at_seconds": [-1]},
     {"policy": "every", "every_seconds": 0}, {"policy": "every", "tolerance": 0.6},
     {"policy": "adaptive", "min_gap_seconds": 6.0}, {"policy": "adaptive", "max_gap_seconds": 0}],
)  # fmt: skip
def test_a_sampler_that_means_nothing_is_refused(sampler: dict) -> None:
    with pytest.raises(ParamsError) as caught:
        choose(regular(3, Fraction(1, 25)), sampler)
    assert caught.value.code == "params.invalid"


# -- at given times


@given(indexes(), st.lists(st.integers(0, 3 * 10**9), min_size=1, max_size=20))
def test_at_takes_the_frame_that_is_shown_then_and_tells_what_lies_beyond_the_end(
    index: PacketIndex, micros: list[int]
) -> None:
    times = [Fraction(value, 1_000_000) for value in micros]
    sampler = {"policy": "at", "at_seconds": [float(value) for value in times]}
    since = [Fraction(int(value - index.pts[0])) for value in index.pts]
    end = since[-1] + (since[-1] - since[-2] if len(since) > 1 else 1)
    slack = min(Fraction(1, 2), Fraction(1, 2000) / index.time_base)
    expected = set()
    for one in times:
        units = int(one / index.time_base + slack)
        if units < end:
            expected.add(max(place for place, value in enumerate(since) if value <= units))
    if not expected:
        with pytest.raises(ParamsError) as caught:
            choose(index, sampler)
        assert caught.value.code == "sampler.beyond_end"
        return
    assert choose(index, sampler).tolist() == sorted(expected)
    beyond = sum(int(one / index.time_base + slack) >= end for one in times)
    warned = left_out(index, sampler)
    assert [warning["code"] for warning in warned] == ["sampler.beyond_end"] * bool(beyond)
    if beyond:
        assert warned[0]["message"].startswith(f"{beyond} time")


@given(indexes())
def test_the_times_that_rows_tell_lead_back_to_their_frames(index: PacketIndex) -> None:
    told = [round(float((value - index.pts[0]) * index.time_base), 6) for value in index.pts]
    chosen = choose(index, {"policy": "at", "at_seconds": told})
    assert chosen.tolist() == list(range(len(index)))


def test_other_policies_leave_no_time_out() -> None:
    assert left_out(regular(3, Fraction(1, 25)), {"policy": "fps", "at_seconds": [99]}) == []


# -- about every so many seconds


@given(indexes(), every_so_often)
def test_every_takes_a_key_within_the_tolerance_or_what_comes_first(index: PacketIndex, sampler: dict) -> None:
    step, tolerance = (Fraction(str(sampler[name])).limit_denominator(10**6) for name in ("every_seconds", "tolerance"))
    if step == 0:
        return
    position = [(int(value - index.pts[0]) + Fraction(1, 2)) * index.time_base / step for value in index.pts]
    cells: dict[int, list[int]] = {}
    for place, at in enumerate(position):
        cells.setdefault(int(at + tolerance), []).append(place)
    chosen = choose(index, sampler).tolist()
    assert len(chosen) == len(cells)
    for (cell, members), place in zip(cells.items(), chosen, strict=True):
        assert place in members
        half = index.time_base / step / 2
        keys = [one for one in members if index.key[one] and abs(position[one] - half - cell) <= tolerance]
        nearest = min((abs(position[one] - half - cell) for one in keys), default=None)
        if place == 0 or not keys:
            assert place == members[0]
        else:
            assert index.key[place]
            assert abs(position[place] - half - cell) == pytest.approx(float(nearest), abs=1e-9)


@given(indexes(), st.integers(1, 50_000))
def test_every_without_tolerance_is_fps(index: PacketIndex, milliseconds: int) -> None:
    plain = PacketIndex(index.pts, np.zeros(len(index), bool), index.time_base)
    every = {"policy": "every", "every_seconds": milliseconds / 1000, "tolerance": 0}
    grid = _first_at_or_after(plain, 1 / Fraction(milliseconds, 1000))
    assert choose(plain, every).tolist() == grid.tolist()


def test_every_decodes_keys_alone_where_they_are_near_enough() -> None:
    key = np.arange(600) % 48 == 0  # a key each 1.92 s
    index = PacketIndex(np.arange(600, dtype=np.int64), key, Fraction(1, 25))
    chosen = choose(index, {"policy": "every", "every_seconds": 2.0, "tolerance": 0.5})
    assert index.key[chosen].all()
    assert len(chosen) == 13


# -- what the schema refuses before a job is made


@pytest.mark.parametrize(
    ("sampler", "path"),
    [({"policy": "at"}, "/at_seconds"), ({"policy": "at", "at_seconds": [-1]}, "/at_seconds/0"),
     ({"at_seconds": ["1"]}, "/at_seconds/0"), ({"every_seconds": 0}, "/every_seconds"),
     ({"tolerance": 0.6}, "/tolerance"),
     ({"threshold": 1.1}, "/threshold"), ({"budget": 0}, "/budget"), ({"max_gap_seconds": 0}, "/max_gap_seconds"),
     ({"policy": "best"}, "/policy"), ({"gap": 1}, "/")],
)  # fmt: skip
def test_the_schema_refuses_nonsense_and_says_where(sampler: dict, path: str) -> None:
    with pytest.raises(ParamsInvalid) as caught:
        canonical_params(SAMPLER_SCHEMA, sampler)
    assert [fault.path for fault in caught.value.faults] == [path]


def test_every_field_of_the_schema_says_what_it_means_and_which_policy_reads_it() -> None:
    for name, field in SAMPLER_SCHEMA["properties"].items():
        assert len(field["description"]) > 20
        assert name == "policy" or any(f"{policy}" in field["description"] for policy in POLICIES)


def test_the_schema_is_valid_and_fills_in_every_default() -> None:
    Draft202012Validator.check_schema(SAMPLER_SCHEMA)
    assert canonical_params(SAMPLER_SCHEMA, {}) == {
        "policy": "stride", "stride": 5, "fps": 1.0, "at_seconds": [], "every_seconds": 1.0, "tolerance": 0.25,
        "threshold": 0.03, "min_gap_seconds": 0.0, "max_gap_seconds": 5.0, "budget": None,
    }  # fmt: skip
