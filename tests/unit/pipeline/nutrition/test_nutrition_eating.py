"""What was eaten: areas and pieces before and after."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.pipeline.nutrition.made import OTHER, PLAIN, item, plate, row, summary


def shares(found):
    return {one["label"]: one["eaten_share"]["value"] for one in found["eaten"]["items"]}


def heap(area, label="rice", side=80):
    return item(label, (10, 10, side, side), area=area)


def two_scenes(before, after, containers=((), ())):
    first = [row(place, *before, containers=containers[0]) for place in range(12)]
    return first + [row(place + 12, *after, containers=containers[1], look=OTHER) for place in range(12)]


def test_half_a_heap_is_half_eaten_with_its_grams_and_a_range():
    found = summary(two_scenes([heap(2000.0)], [heap(1000.0)], ([plate()], [plate()])), compare="before_after")
    (rice,) = found["eaten"]["items"]
    assert rice["eaten_share"]["value"] == 0.5
    assert rice["eaten_share"]["low"] < 0.5 < rice["eaten_share"]["high"]
    before = found["items"][0]
    assert rice["grams"]["value"] == pytest.approx(before["grams"]["value"] / 2, abs=0.1)
    assert rice["kcal"]["value"] == pytest.approx(before["kcal"]["value"] / 2, abs=0.1)
    assert found["eaten"]["totals"]["kcal"]["value"] == rice["kcal"]["value"]


def test_nothing_is_compared_unless_asked_for():
    assert summary(two_scenes([heap(2000.0)], [heap(1000.0)]))["eaten"] is None


def test_what_is_gone_is_eaten_and_what_grew_is_not():
    rows = two_scenes([heap(2000.0), heap(500.0, "beans", 40)], [heap(2400.0)])
    assert shares(summary(rows, compare="before_after")) == {"beans": 1.0, "rice": 0.0}


def test_what_came_later_was_not_eaten():
    rows = two_scenes([heap(2000.0)], [heap(1500.0), heap(500.0, "beans", 40)])
    assert shares(summary(rows, compare="before_after")) == {"rice": 0.25}


def test_pieces_in_boxes_are_counted_and_the_result_is_called_rough():
    apples = [item("apple", (100 * place, 10, 40, 40)) for place in range(4)]
    found = summary(two_scenes(apples, apples[:1]), compare="before_after")
    assert shares(found) == {"apple": 0.75}
    assert found["eaten"]["items"][0]["unit"] == "pieces"
    assert "nutrition.boxes_not_masks" in {one["code"] for one in found["warnings"]}


def test_a_nearer_camera_changes_nothing_where_the_plate_is_the_measure():
    rows = two_scenes([heap(2000.0)], [heap(1000.0 * 4)], ([plate(100)], [plate(200)]))
    assert shares(summary(rows, compare="before_after_by_plate")) == {"rice": 0.5}
    assert shares(summary(rows, compare="before_after")) == {"rice": 0.0}


def test_without_a_plate_nothing_can_be_measured_by_it_and_that_is_told():
    found = summary(two_scenes([heap(2000.0)], [heap(1000.0)]), compare="before_after_by_plate")
    assert found["eaten"]["items"] == []
    assert "nutrition.no_plate" in {one["code"] for one in found["warnings"]}


def test_a_take_without_a_cut_is_compared_beginning_with_end():
    rows = [row(place, heap(2000.0 - 40 * place)) for place in range(40)]
    assert 0.6 < shares(summary(rows, compare="before_after"))["rice"] < 0.8


def test_one_picture_alone_does_not_tell_what_was_eaten():
    found = summary([row(0, heap(2000.0))], compare="before_after")
    assert found["eaten"] is None
    assert "nutrition.nothing_to_compare" in {one["code"] for one in found["warnings"]}


def test_a_hand_that_hides_food_for_some_frames_is_no_bite():
    rows = two_scenes([heap(2000.0)], [heap(1500.0)])
    for place in (2, 3, 15):
        rows[place] = row(place, look=PLAIN if place < 12 else OTHER)
    assert shares(summary(rows, compare="before_after")) == {"rice": 0.25}


@settings(max_examples=30, deadline=None)
@given(st.floats(10, 1e5), st.floats(0, 1e5))
def test_a_share_lies_between_its_bounds_and_those_between_none_and_all(before, after):
    (one,) = summary(two_scenes([heap(before)], [heap(after)]), compare="before_after")["eaten"]["items"]
    share = one["eaten_share"]
    assert 0 <= share["low"] <= share["value"] <= share["high"] <= 1
    assert share["value"] == pytest.approx(max(0.0, 1 - after / before), abs=1e-3)
