"""Counting once: over frames, gaps, cuts and repetitions."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.pipeline.nutrition.made import OTHER, by_label, item, plate, row, summary


def counts(rows, **given):
    return {label: one["count"] for label, one in by_label(summary(rows, **given)).items()}


def test_a_thing_that_stays_is_one_thing():
    rows = [row(place, item("apple")) for place in range(20)]
    assert counts(rows) == {"apple": {"value": 1, "low": 1, "high": 1}}


def test_times_are_told_to_the_millisecond():
    found = summary([row(place, item("apple", score=0.7 + place / 100), step=1 / 30) for place in range(5)])
    assert found["scenes"] == [{"from_seconds": 0.0, "to_seconds": 0.133, "frames": 5}]
    assert found["items"][0]["best"]["seconds"] == 0.133


def test_two_apples_side_by_side_are_two():
    rows = [row(place, item("apple"), item("apple", (200, 10, 40, 40))) for place in range(20)]
    assert counts(rows)["apple"]["value"] == 2


def test_a_thing_lost_for_long_and_seen_again_in_its_place_is_one_and_perhaps_two():
    rows = [row(place, *([] if 8 <= place < 20 else [item("apple")])) for place in range(28)]
    assert counts(rows)["apple"] == {"value": 1, "low": 1, "high": 2}


def test_things_that_pass_one_after_another_are_counted_each():
    rows = []
    for place in range(40):
        at = (place % 20) * 12
        rows.append(row(place, *([item("orange", (at, 10, 40, 40))] if place % 20 < 16 else [])))
    assert counts(rows)["orange"] == {"value": 2, "low": 1, "high": 2}


def test_flicker_of_two_frames_is_nothing():
    rows = [row(place, *([item("pizza")] if place in (5, 6) else [])) for place in range(20)]
    assert counts(rows) == {}


def test_a_label_that_changes_for_some_frames_does_not_make_a_second_thing():
    rows = [row(place, item("cake" if 5 <= place < 8 else "donut")) for place in range(20)]
    assert list(counts(rows)) == ["donut"]


def test_the_same_table_after_a_cut_is_not_counted_again():
    rows = [row(place, item("apple", (10 + 200 * (place >= 10), 10, 40, 40)),
                look=OTHER if place >= 10 else [100] * 48) for place in range(20)]  # fmt: skip
    found = summary(rows)
    assert len(found["scenes"]) == 2
    assert by_label(found)["apple"]["count"]["value"] == 1


def test_a_zoom_keeps_what_it_shows_one_thing():
    rows = [row(place, item("pizza", (100 - 2 * place, 100 - 2 * place, 100 + 4 * place, 100 + 4 * place)))
            for place in range(25)]  # fmt: skip
    assert counts(rows)["pizza"] == {"value": 1, "low": 1, "high": 1}


def test_a_bunch_counts_as_several_with_a_range_and_says_that_it_is_one_bunch():
    rows = [row(place, item("banana", bunch=2)) for place in range(5)]
    found = by_label(summary(rows))["banana"]
    assert found["bunches"] == 1
    assert found["count"] == {"value": 5, "low": 4, "high": 8}
    assert found["grams"] == {"value": 590.0, "low": 324.0, "high": 1216.0}


def test_one_frame_is_enough_for_a_still():
    assert counts([row(0, item("apple"))])["apple"]["value"] == 1


def test_plates_without_a_named_food_are_unknown_food():
    rows = [row(place, containers=[plate(named=False), plate(named=True)]) for place in range(5)]
    found = summary(rows)
    assert found["unknown"] == [{"label": "content of plate", "count": 1, "why": "the model names no food in it"}]
    assert found["containers"] == [{"label": "plate", "count": 2}]
    assert {one["code"] for one in found["warnings"]} == {"nutrition.no_food", "nutrition.unknown_food"}


def test_unknown_food_is_counted_and_in_no_total():
    seen = {"label": "ramen", "score": 0.9, "box": [0, 0, 10, 10]}
    with_it = summary([row(place, item("apple"), unknown=[seen]) for place in range(5)])
    without = summary([row(place, item("apple")) for place in range(5)])
    assert with_it["unknown"] == [{"label": "ramen", "count": 1, "why": "no row of the facts table"}]
    assert with_it["totals"] == without["totals"]


PLACES = st.lists(
    st.tuples(st.sampled_from(["apple", "orange", "pizza", "bread"]), st.integers(0, 5), st.integers(0, 4)),
    unique_by=lambda one: one[1:], min_size=1, max_size=8,
)  # fmt: skip


def table(places):
    return [item(label, (x * 100, y * 100, 60, 60)) for label, x, y in places]


@settings(max_examples=25, deadline=None)
@given(PLACES, st.integers(3, 8), st.booleans())
def test_a_clip_shown_twice_counts_nothing_twice(places, frames, cut):
    once = [row(place, *table(places)) for place in range(frames)]
    again = [row(place + frames + 1, *table(places)) for place in range(frames)]
    black = [row(frames, look=[0] * 48)] if cut else []
    assert counts(once) == counts([*once, *black, *again])


@settings(max_examples=25, deadline=None)
@given(PLACES, st.randoms(use_true_random=False))
def test_the_order_of_items_in_a_frame_does_not_matter(places, random):
    straight, mixed = [], []
    for place in range(4):
        items = table(places)
        straight.append(row(place, *items))
        random.shuffle(items)
        mixed.append(row(place, *items))
    assert summary(straight) == summary(mixed)


def test_a_thing_that_moves_nearly_its_own_size_between_frames_is_followed_once_its_pace_is_known():
    places = [0, 20, 40, 70, 100, 130, 160]
    rows = [row(place, item("orange", (at, 10, 40, 40))) for place, at in enumerate(places)]
    assert counts(rows)["orange"]["value"] == 1
