"""The detect pipeline around any detector."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipeline.errors import ParamsError
from pipeline.frame import Frame
from pipeline.marks import Mark, box_mark
from pipeline.pipelines.detect import Detect
from pipeline.spec import ParamsInvalid, canonical_params
from tests.fakes.fake_cage import FakeMedia
from tests.fakes.fake_shelf import FakeShelf, card_of


def params(**given):
    return canonical_params(Detect.spec.params_schema, {"model": "faked", **given})


def frame(place=0, scale=1.0):
    return Frame(np.zeros((40, 60, 3), np.uint8), place, place, float(place), scale)


def thing(label="a", score=0.9, box=(1, 2, 3, 4)):
    return {"label": label, "score": score, "box": list(box)}


def row_of(findings, scale=1.0, **given):
    detect, filled = Detect(), params(**given)
    shelf = FakeShelf(card_of(), find=lambda image: findings)
    (inferred,) = detect.infer([frame()], filled, shelf)
    return detect.observe(None, frame(scale=scale), inferred, filled)


def test_the_default_is_a_small_detector_of_everyday_things():
    assert canonical_params(Detect.spec.params_schema, {})["model"] == "fastestdet"


@pytest.mark.parametrize("bad", [{"min_score": 2}, {"max_objects": 0}, {"model": "../x"}, {"width": 5}, {"other": 1}])
def test_params_have_limits(bad):
    with pytest.raises(ParamsInvalid):
        params(**bad)


def test_objects_are_in_source_pixels_and_counted_by_label():
    row = row_of([thing("b"), thing("a"), thing("b", box=(10, 10, 5, 5))], scale=0.5)
    assert [one["box"] for one in row["objects"]] == [[2, 4, 6, 8], [2, 4, 6, 8], [20, 20, 10, 10]]
    assert row["counts"] == {"a": 1, "b": 2}


def test_landmarks_are_in_source_pixels():
    (one,) = row_of([{**thing(), "keypoints": [[5, 6]]}], scale=0.25)["objects"]
    assert one["keypoints"] == [[20, 24]]


def test_outline_and_area_of_a_segmenter_are_in_source_pixels():
    (one,) = row_of([{**thing(), "area": 6.0, "polygon": [[[1, 2], [3, 4]]]}], scale=0.5)["objects"]
    assert (one["area"], one["polygon"]) == (24, [[[2, 4], [6, 8]]])


def test_without_min_score_the_cards_own_holds_and_with_it_the_jobs():
    findings = [thing(score=0.9), thing(score=0.6), thing(score=0.4), thing(score=0.1)]
    assert len(row_of(findings)["objects"]) == 2
    assert len(row_of(findings, min_score=0.3)["objects"]) == 3
    assert len(row_of(findings, min_score=0)["objects"]) == 4


def test_no_more_objects_than_asked_for():
    assert [one["score"] for one in row_of([thing(score=s) for s in (0.9, 0.8, 0.7)], max_objects=2)["objects"]] == [
        0.9,
        0.8,
    ]


def test_frames_go_to_the_model_as_one_batch():
    shelf = FakeShelf(card_of())
    Detect().infer([frame(), frame(), frame()], params(), shelf)
    assert shelf.seen == [[(40, 60, 3)] * 3]


def test_a_model_of_another_task_is_refused_with_those_that_fit():
    shelf = FakeShelf(card_of("faked", task="classify"), card_of("good"))
    with pytest.raises(ParamsError) as caught:
        Detect().check(params(), shelf)
    assert "good" in caught.value.advice
    with pytest.raises(ParamsError) as caught:
        Detect().check(params(model="absent"), shelf)
    assert caught.value.code == "model.unknown"


def test_the_model_a_job_ran_with_is_named_by_digest():
    assert Detect().models_used(params(), FakeShelf(card_of())) == [
        {"name": "faked", "version": "7", "digest": "ab" * 32, "licence": "MIT"}
    ]
    assert Detect().cost_seconds(params(), FakeShelf(card_of())) == 0.25


ROWS = [
    {"index": 0, "pts_seconds": 0.0, "objects": [thing("a", 0.5)], "counts": {"a": 1}},
    {
        "index": 5,
        "pts_seconds": 0.5,
        "objects": [thing("a", 0.8), thing("a", 0.6), thing("b", 0.7)],
        "counts": {"a": 2, "b": 1},
    },
    {"index": 10, "pts_seconds": 1.0, "objects": [], "counts": {}},
    {"index": 15, "pts_seconds": 1.5, "objects": [thing("a", 0.7)], "counts": {"a": 1}},
]


def best(score):
    """What a summary tells of a label's best find, all of them in the second row."""
    return {"best_score": score, "best_index": 5, "best_seconds": 0.5, "best_box": thing("a", score)["box"]}


def test_a_summary_tells_each_labels_count_and_when_it_was_seen():
    told = Detect().summarize(iter(ROWS), FakeMedia(frames=50).info(), params())
    assert told == {
        "frames": 4,
        "inferred": 4,
        "duration_seconds": 2.0,
        "objects": 5,
        "labels": {
            "a": {"frames": 3, "max": 2, "mean": 1.0, "first_seconds": 0.0, "last_seconds": 1.5, **best(0.8)},
            "b": {"frames": 1, "max": 1, "mean": 0.25, "first_seconds": 0.5, "last_seconds": 0.5, **best(0.7)},
        },
        "counts_over_time": {
            "bin_seconds": 1,
            "points": [{"seconds": 0, "counts": {"a": 2, "b": 1}}, {"seconds": 1, "counts": {"a": 1}}],
        },
    }
    assert set(told) == set(Detect.spec.summary_fields)


def test_a_summary_of_a_very_long_input_stays_small():
    rows = ({"index": n, "pts_seconds": float(n), "objects": [thing()], "counts": {"a": 1}} for n in range(6 * 3600))
    told = Detect().summarize(rows, FakeMedia().info(), params())
    assert len(told["counts_over_time"]["points"]) <= 600
    assert len(json.dumps(told)) < 40_000


def test_a_summary_of_nothing_is_empty():
    told = Detect().summarize([], FakeMedia(kind="image").info(), params())
    assert (told["frames"], told["objects"], told["labels"]) == (0, 0, {})


def test_a_frame_is_marked_with_every_object_its_outline_and_keypoints():
    ring = [[1.0, 2.0], [3.0, 4.0], [5.0, 2.0]]
    row = {"objects": [thing("a", 0.5), {**thing("b", 0.875), "keypoints": ring[:2], "polygon": [ring]}]}
    assert Detect().marks(row, params()) == [
        box_mark((1, 2, 3, 4), "a 50%", "a"),
        Mark("polygon", ((1.0, 2.0), (3.0, 4.0), (5.0, 2.0)), group="b"),
        box_mark((1, 2, 3, 4), "b 88%", "b"),
        Mark("points", ((1.0, 2.0), (3.0, 4.0)), group="b"),
    ]


def test_the_moments_are_each_labels_best_find_best_first():
    told = Detect().summarize(iter(ROWS), FakeMedia(frames=50).info(), params())
    assert [(one.index, one.caption, one.box) for one in Detect().moments(told, params())] == [
        (5, "a 80% at second 0.500", (1, 2, 3, 4)),
        (5, "b 70% at second 0.500", (1, 2, 3, 4)),
    ]
