"""The tables: every food has its row, and the rows are those of USDA."""

from __future__ import annotations

import csv

import pytest

from pipeline.nutrition.foods import all_foods, find_food, is_food_or_unknown
from pipeline.nutrition.make_facts import FACTS, FOODS, main, pick

COCO_FOODS = ("banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake")
TRAY_FOODS = (
    "pasta with pesto", "pasta with tomato sauce", "pasta with meat sauce", "pasta with clams and mussels",
    "pilaw rice with peppers and peas", "grilled pork cutlet", "fish cutlet", "rabbit", "seafood salad", "beans",
    "basil potatoes", "salad", "bread",
)  # fmt: skip


@pytest.mark.parametrize("label", [*COCO_FOODS, *TRAY_FOODS])
def test_foods_of_coco_and_of_the_trays_have_a_row(label):
    food = find_food(label)
    assert food is not None
    assert food.usda_name
    assert set(food.per_100g) == {"kcal", "protein_g", "fat_g", "carbs_g"}


def test_there_are_over_a_hundred_foods_each_with_an_ordered_weight_and_energy_near_that_of_its_nutrients():
    foods = all_foods()
    assert len(foods) > 100
    for food in foods:
        assert 0 < food.grams.low < food.grams.value < food.grams.high, food.label
        assert 0.02 < food.density < 1.3, food.label
        assert food.shape in ("ball", "flat", "loaf", "heap", "liquid"), food.label
        per = food.per_100g
        atwater = 4 * per["protein_g"] + 9 * per["fat_g"] + 4 * per["carbs_g"]
        if food.label not in ("beer", "red wine"):  # alcohol is in none of the three
            assert abs(per["kcal"] - atwater) <= 0.25 * atwater + 12, food.label


def test_names_are_found_whatever_their_case_and_other_names_lead_to_the_same_food():
    assert find_food(" Bread_Roll ") is find_food("bread")
    assert find_food("ramen") is None


def test_no_name_means_two_foods():
    with FOODS.open(encoding="utf-8", newline="") as lines:
        names = [name for one in csv.DictReader(lines) for name in (one["label"], *one["aliases"].split(";")) if name]
    assert len(names) == len(set(names))
    assert names == [name.lower() for name in names]


def test_what_coco_names_and_is_no_food_is_neither_food_nor_unknown_food():
    assert not any(is_food_or_unknown(label) for label in ("person", "diningtable", "cup", "fork", "sink", "toilet"))
    assert is_food_or_unknown("ramen")


def test_the_facts_table_is_what_the_script_makes_of_usda(tmp_path, shared):
    usda = shared / "data/nutrition/usda_sr_per_100g.csv"
    out = tmp_path / "facts.csv"
    assert main(["--usda", str(usda), "--out", str(out)]) == 0
    assert out.read_bytes() == FACTS.read_bytes()


def test_rows_are_picked_from_usdas_own_form_too(tmp_path):
    foods, abbrev = tmp_path / "foods.csv", tmp_path / "ABBREV.txt"
    foods.write_text("label,ndb_no\napple,09003\n")
    abbrev.write_text("~01001~^~BUTTER~^1^2^3^4^5^6\n~09003~^~APPLES,RAW~^85.56^52^0.26^0.17^0.19^13.81\n")
    assert pick(foods, abbrev) == [("09003", "APPLES,RAW", "52", "0.26", "0.17", "13.81")]


def test_a_row_that_usda_lacks_is_named(tmp_path, capsys):
    table = tmp_path / "some.csv"
    table.write_text("ndb_no,name,kcal,protein_g,fat_g,carbohydrate_g\n09003,APPLES,52,0.26,,13.81\n")
    assert main(["--usda", str(table), "--out", str(tmp_path / "out.csv")]) == 1
    told = capsys.readouterr().err
    assert "09040 is not in some.csv" in told
    assert "09003 lacks a value" in told
