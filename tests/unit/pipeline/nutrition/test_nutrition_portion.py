"""Weights and totals: ordered, additive, and the same at any size of the picture."""

from __future__ import annotations

from math import pi

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.nutrition.amount import Amount
from pipeline.nutrition.foods import NUTRIENTS, all_foods, find_food
from pipeline.nutrition.portion import area_cm2, grams_by_area, scale_of, volume_cm3
from tests.unit.pipeline.nutrition.made import by_label, item, plate, row, summary

FOODS = st.sampled_from([food.label for food in all_foods() if food.bunch is None])


def bounds(told):
    return told["low"], told["value"], told["high"]


def test_a_balls_outline_gives_its_volume():
    apple, radius = find_food("apple"), 4.0
    volume = volume_cm3(apple, Amount.exactly(pi * radius**2))
    assert volume.value == pytest.approx(0.95 * 4 / 3 * pi * radius**3)


def test_a_given_plate_turns_pixels_into_square_centimetres():
    scale = scale_of(20.0)
    assert area_cm2(0.25, scale, masked=True).value == pytest.approx(0.25 * 20 * 20)


def test_an_apple_on_a_known_plate_weighs_what_apples_weigh():
    # 7.6 cm across (a medium apple of USDA is 3 inches) on a plate of 24 cm that is 480 pixels wide
    side = 7.6 / 24 * 480
    rows = [row(0, item("apple", (50, 50, side, side)), containers=[plate(480)])]
    found = by_label(summary(rows, plate_diameter_cm=24))["apple"]
    assert found["portion"]["by"] == "area"
    assert found["grams"]["value"] == pytest.approx(182, rel=0.15)
    assert found["grams"]["low"] < 182 < found["grams"]["high"]


def test_pieces_are_weighed_by_count_where_nobody_tells_the_plates_size():
    found = by_label(summary([row(0, item("apple"), containers=[plate()])]))["apple"]
    assert found["portion"]["by"] == "item_weight"
    assert found["grams"] == {"value": 182, "low": 101, "high": 223}


def test_a_heaps_mask_is_weighed_by_a_plate_of_usual_size_and_with_a_wider_range_than_a_known_one():
    rows = [row(0, item("rice", (10, 10, 60, 60), area=2500.0), containers=[plate()])]
    usual, known = (by_label(summary(rows, plate_diameter_cm=cm))["rice"] for cm in (None, 23))
    assert usual["portion"]["by"] == known["portion"]["by"] == "area"
    assert usual["grams"]["value"] == known["grams"]["value"]
    assert usual["grams"]["low"] < known["grams"]["low"]
    assert usual["grams"]["high"] > known["grams"]["high"]


def test_a_heap_in_a_box_is_a_usual_serving_and_says_so():
    found = summary([row(0, item("rice"), containers=[plate()])])
    assert by_label(found)["rice"]["portion"]["by"] == "serving"
    assert "nutrition.usual_serving" in {one["code"] for one in found["warnings"]}


def test_a_plate_size_without_a_plate_is_told():
    found = summary([row(0, item("apple"))], plate_diameter_cm=24)
    assert "nutrition.no_plate" in {one["code"] for one in found["warnings"]}
    assert by_label(found)["apple"]["portion"]["by"] == "item_weight"


def test_what_is_drunk_is_not_weighed_by_the_area_of_its_outline():
    found = summary([row(0, item("coffee", area=3000.0), containers=[plate()])], plate_diameter_cm=24)
    assert by_label(found)["coffee"]["portion"]["by"] == "item_weight"


def test_nothing_seen_is_told_and_weighs_nothing():
    found = summary([row(0)])
    assert found["items"] == []
    assert bounds(found["totals"]["kcal"]) == (0, 0, 0)
    assert [one["code"] for one in found["warnings"]] == ["nutrition.no_food"]


SEEN = st.lists(st.tuples(FOODS, st.integers(10, 90)), min_size=1, max_size=6, unique_by=lambda one: one[0])


def seen_rows(seen, factor=1.0):
    items = [
        item(label, (factor * 100 * place, 0, factor * side, factor * side), area=factor**2 * 0.8 * side * side)
        for place, (label, side) in enumerate(seen)
    ]
    return [row(0, *items, containers=[plate(factor * 300)])]


@settings(max_examples=30, deadline=None)
@given(SEEN, st.one_of(st.none(), st.floats(10, 40)))
def test_every_range_is_ordered_and_totals_are_the_sum_of_the_items(seen, diameter):
    found = summary(seen_rows(seen), plate_diameter_cm=diameter)
    assert len(found["items"]) == len(seen)
    for name in ("grams", *NUTRIENTS):
        parts = [bounds(one[name]) for one in found["items"]]
        assert all(0 <= low <= value <= high for low, value, high in parts)
        for told, summed in zip(bounds(found["totals"][name]), map(sum, zip(*parts, strict=True)), strict=True):
            assert told == pytest.approx(summed, abs=0.06 * len(parts))  # each part was rounded to 0.1


@settings(max_examples=30, deadline=None)
@given(SEEN, st.floats(0.25, 4), st.one_of(st.none(), st.floats(10, 40)))
def test_a_picture_of_another_size_weighs_the_same(seen, factor, diameter):
    one, other = (summary(seen_rows(seen, size), plate_diameter_cm=diameter) for size in (1.0, factor))
    for name in ("grams", *NUTRIENTS):
        assert bounds(other["totals"][name]) == pytest.approx(bounds(one["totals"][name]), rel=1e-6, abs=0.11)


@settings(max_examples=30, deadline=None)
@given(FOODS.map(find_food), st.floats(0.001, 1.0), st.floats(1.01, 3.0))
def test_more_area_is_more_weight(food, share, more):
    if food.shape == "liquid":
        return
    small, large = (grams_by_area(food, area, scale_of(24.0), masked=True) for area in (share, share * more))
    assert all(less < greater for less, greater in zip(small, large, strict=True))
