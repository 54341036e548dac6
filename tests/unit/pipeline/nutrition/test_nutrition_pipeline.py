"""The nutrition pipeline around any detector, any segmenter, and the ones of the test data."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipeline.errors import ParamsError
from pipeline.frame import Frame
from pipeline.models.shelf import open_shelf
from pipeline.nutrition.compare import eaten_between
from pipeline.nutrition.compare import main as compare_main
from pipeline.nutrition.evaluate import evaluated
from pipeline.nutrition.tray_truth import NAME, ShelfBeside, photo, true_shares, write_card
from pipeline.pipelines.nutrition import Nutrition
from pipeline.spec import ParamsInvalid
from tests.fakes.fake_shelf import FakeShelf, card_of
from tests.services import REPOSITORY
from tests.unit.pipeline.nutrition.made import by_label, params, row, summary


def frame(scale=1.0):
    return Frame(np.zeros((48, 64, 3), np.uint8), 0, 0, 0.0, scale)


def thing(label, box=(1, 2, 10, 10), score=0.9, **more):
    return {"label": label, "score": score, "box": list(box), **more}


def row_of(findings, scale=1.0, **given):
    pipeline, filled = Nutrition(), params(detector="faked", **given)
    shelf = FakeShelf(card_of(), find=lambda image: findings)
    (inferred,) = pipeline.infer([frame()], filled, shelf)
    return pipeline.observe(None, frame(scale), inferred, filled)


@pytest.mark.parametrize(
    "bad",
    [{"plate_diameter_cm": 0}, {"min_score": 2}, {"compare": "yes"}, {"detector": "../x"}, {"names": {"a": 1}}],
)
def test_params_have_limits(bad):
    with pytest.raises(ParamsInvalid):
        params(**bad)


def test_detectors_and_segmenters_fit_and_classifiers_do_not():
    cards = [card_of("eye"), card_of("judge", task="classify")]
    shelf = FakeShelf(*cards)
    Nutrition().check(params(detector="eye", tableware="eye"), shelf)
    with pytest.raises(ParamsError, match="judge is a classify model"):
        Nutrition().check(params(detector="judge"), shelf)
    with pytest.raises(ParamsError):
        Nutrition().check(params(detector="eye", tableware="judge"), shelf)


def test_both_models_are_named_and_paid_for():
    shelf = FakeShelf(card_of("eye"), card_of("dishes"))
    filled = params(detector="eye", tableware="dishes")
    assert [one["name"] for one in Nutrition().models_used(filled, shelf)] == ["eye", "dishes"]
    assert Nutrition().cost_seconds(filled, shelf) == 0.5


@pytest.mark.parametrize("given", [{}, {"tableware": "faked"}])
def test_containers_are_known_in_any_spelling_and_by_what_their_label_means(given):
    found = row_of([thing("Apple"), thing("Wine_Glass"), thing("7")], names={"7": "bowl"}, **given)
    assert [one["label"] for one in found["items"]] == ["apple"]
    assert [one["label"] for one in found["containers"]] == ["wine glass", "bowl"]


def test_food_containers_and_unknown_food_are_parted_and_other_things_left_out():
    found = row_of([thing("Apple"), thing("cup"), thing("ramen"), thing("person")])
    assert [one["label"] for one in found["items"]] == ["apple"]
    assert [one["label"] for one in found["containers"]] == ["cup"]
    assert [one["label"] for one in found["unknown"]] == ["ramen"]
    assert len(found["look"]) == 48


def test_boxes_and_areas_are_in_source_pixels():
    found = row_of([thing("pasta", (1, 2, 10, 20), area=100.0, polygon=[[[1, 2], [11, 2], [11, 22]]])], scale=0.5)
    (pasta,) = found["items"]
    assert pasta["box"] == [2, 4, 20, 40]
    assert pasta["area"] == 400
    assert pasta["polygon"] == [[[2, 4], [22, 4], [22, 44]]]


def test_findings_under_the_score_asked_for_are_left_out():
    assert row_of([thing("apple", score=0.58)])["items"] == []
    assert len(row_of([thing("apple", score=0.58)], min_score=None)["items"]) == 1


def test_a_models_own_labels_can_be_given_names():
    found = row_of([thing("6"), thing("7")], names={"6": "bread"})
    assert [one["label"] for one in found["items"]] == ["bread"]
    assert [one["label"] for one in found["unknown"]] == ["7"]


def test_touching_bananas_are_a_bunch_and_distant_ones_are_not():
    near = [thing("banana", (0, 0, 20, 20)), thing("banana", (15, 5, 20, 20)), thing("banana", (34, 0, 10, 10))]
    (bunch,) = row_of(near)["items"]
    assert bunch["bunch"] == 3
    assert bunch["box"] == [0, 0, 44, 25]
    apart = row_of([thing("banana", (0, 0, 10, 10)), thing("banana", (40, 30, 10, 10))])["items"]
    assert [one["bunch"] for one in apart] == [1, 1]


def test_masked_parts_of_a_heap_are_one_heap_and_pieces_stay_pieces():
    found = row_of([
        thing("rice", (0, 0, 10, 10), area=50.0), thing("rice", (20, 20, 10, 10), area=30.0),
        thing("bread", (40, 0, 9, 9), area=40.0), thing("bread", (40, 30, 9, 9), area=40.0),
    ])["items"]  # fmt: skip
    assert [(one["label"], one["area"]) for one in found] == [("rice", 80), ("bread", 40), ("bread", 40)]
    assert found[0]["box"] == [0, 0, 30, 30]


def test_a_bowl_with_a_named_food_in_it_is_not_unknown():
    found = row_of([thing("bowl", (0, 0, 30, 30)), thing("bowl", (34, 0, 30, 30)), thing("salad", (5, 5, 20, 20))])
    assert [one["named"] for one in found["containers"]] == [True, False]


def test_tableware_may_be_told_by_another_model():
    said = {"eye": [thing("apple"), thing("bowl")], "dishes": [thing("plate"), thing("cake")]}

    class Two(FakeShelf):
        def load(self, name):
            self._find = lambda image: said[name]
            return super().load(name)

    filled = params(detector="eye", tableware="dishes")
    (inferred,) = Nutrition().infer([frame()], filled, Two(card_of("eye"), card_of("dishes")))
    assert [one["label"] for one in inferred] == ["apple", "plate"]


def test_what_was_found_is_drawn_and_the_best_sight_of_each_food_kept():
    pipeline, filled = Nutrition(), params()
    seen = row_of([thing("apple", score=0.7), thing("cup", (30, 30, 5, 5)), thing("ramen", (40, 0, 5, 5))])
    assert [mark.text for mark in pipeline.marks(seen, filled)] == ["apple 0.70", "cup", "unknown: ramen"]
    better = row_of([thing("apple", score=0.95)])
    rows = [{**row(place), **(better if place == 2 else seen)} for place in range(4)]
    (moment,) = pipeline.moments(summary(rows), filled)
    assert (moment.index, moment.caption, moment.box) == (2, "apple 0.95", (1, 2, 10, 10))


def test_summary_holds_the_fields_it_explains_and_is_plain_json():
    found = summary([row(0)])
    assert set(found) == set(Nutrition.spec.summary_fields)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.fixture(scope="module")
def shelf(shared, tmp_path_factory):
    opened = open_shelf(cache_dir=tmp_path_factory.mktemp("weights"), mirror=str(shared / "models"), device="cpu")
    yield opened
    opened.close()


def test_fruit_is_apples_an_orange_and_one_bunch_of_bananas_with_their_rows(shared, shelf):
    found = by_label(evaluated(shared / "data/images/food/fruit.jpg", {}, shelf))
    assert set(found) == {"apple", "banana", "orange"}
    assert 3 <= found["apple"]["count"]["value"] <= 4
    assert found["orange"]["count"]["value"] == 1
    assert found["banana"]["bunches"] == 1
    assert [found[label]["source"]["ndb_no"] for label in ("apple", "banana", "orange")] == ["09003", "09040", "09200"]


def test_the_drawn_example_is_two_apples_and_an_orange(shelf):
    found = by_label(evaluated(REPOSITORY / "examples/meal.png", {}, shelf))
    assert {label: one["count"]["value"] for label, one in found.items()} == {"apple": 2, "orange": 1}


def test_eaten_shares_of_a_tray_follow_its_masks_given_by_a_segmenter(shared, shelf, tmp_path):
    data = shared / "data"
    write_card(data, tmp_path)
    beside = ShelfBeside(shelf, tmp_path)
    pictures = (photo(data, "tray1", name) for name in ("food_image", "leftover2"))
    found = eaten_between(*pictures, {"detector": NAME}, beside)
    beside.close()
    shares = {one["label"]: one["eaten_share"]["value"] for one in found["eaten"]["items"]}
    assert shares == pytest.approx(true_shares(data, "tray1", "leftover2"), abs=0.02)
    assert {one["unit"] for one in found["eaten"]["items"]} == {"pixels"}


def test_comparing_refuses_what_is_no_picture_and_params_that_are_no_json(shared, capsys):
    clip, fruit = shared / "data/videos/cups.mp4", shared / "data/images/food/fruit.jpg"
    assert compare_main([str(clip), str(fruit)]) == 1
    assert "media.unsupported" in capsys.readouterr().err
    assert compare_main([str(fruit), str(fruit), "--params", "{"]) == 1
    assert "params.invalid" in capsys.readouterr().err
    assert compare_main([str(fruit), str(fruit), "--params", '{"detector": "yolo"}']) == 1
    assert "\n  Known models: " in capsys.readouterr().err
    with pytest.raises(SystemExit):
        compare_main([str(fruit), "absent.jpg"])
