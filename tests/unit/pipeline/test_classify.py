"""The classify pipeline around any classifier."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import ParamsError
from pipeline.frame import Frame
from pipeline.pipelines.classify import Classify
from pipeline.spec import ParamsInvalid, canonical_params
from tests.fakes.fake_cage import FakeMedia
from tests.fakes.fake_shelf import FakeShelf, card_of


def params(**given):
    return canonical_params(Classify.spec.params_schema, {"model": "faked", **given})


def labels(*pairs):
    return [{"label": label, "score": score} for label, score in pairs]


def row_of(found, **given):
    classify, filled = Classify(), params(**given)
    frame = Frame(np.zeros((4, 4, 3), np.uint8), 0, 0, 0.0)
    (inferred,) = classify.infer([frame], filled, FakeShelf(card_of(task="classify"), find=lambda image: found))
    return classify.observe(None, frame, inferred, filled)


def test_the_model_must_be_named():
    with pytest.raises(ParamsInvalid, match="model"):
        canonical_params(Classify.spec.params_schema, {})


def test_a_row_holds_the_best_labels():
    found = labels(("x", 0.6), ("y", 0.3), ("z", 0.1))
    assert row_of(found, top_k=2) == {"labels": found[:2]}
    assert row_of(found, min_score=0.2) == {"labels": found[:2]}
    assert row_of(found, min_score=None) == {"labels": found[:1]}


def test_a_detector_is_refused():
    with pytest.raises(ParamsError, match="detect model"):
        Classify().check(params(), FakeShelf(card_of(task="detect")))


ROWS = [
    {"index": 0, "pts_seconds": 0.0, "labels": labels(("x", 0.8), ("y", 0.2))},
    {"index": 10, "pts_seconds": 1.0, "labels": labels(("x", 0.6), ("y", 0.4))},
    {"index": 20, "pts_seconds": 2.0, "labels": labels(("y", 0.9))},
    {"index": 30, "pts_seconds": 3.0, "labels": []},
]


def best(score, index, seconds):
    return {"best_score": score, "best_index": index, "best_seconds": seconds}


def test_a_summary_tells_the_leading_label_and_when_it_changes():
    told = Classify().summarize(iter(ROWS), FakeMedia(frames=100).info(), params())
    assert (told["label"], told["score"], told["frames"], told["duration_seconds"]) == ("y", 0.375, 4, 4.0)
    assert told["labels"] == [
        {"label": "y", "mean_score": 0.375, "frames": 3, "seconds": 1.0, **best(0.9, 20, 2.0)},
        {"label": "x", "mean_score": 0.35, "frames": 2, "seconds": 2.0, **best(0.8, 0, 0.0)},
    ]
    assert told["timeline"] == [
        {"from_seconds": 0.0, "to_seconds": 2.0, "label": "x"},
        {"from_seconds": 2.0, "to_seconds": 3.0, "label": "y"},
    ]
    assert set(told) == set(Classify.spec.summary_fields)


def test_a_still_has_one_stretch():
    told = Classify().summarize(iter(ROWS[:1]), FakeMedia(kind="image").info(), params())
    assert told["timeline"] == [{"from_seconds": 0.0, "to_seconds": 0.0, "label": "x"}]
    assert told["score"] == 0.8


def test_nothing_found_is_told_as_null():
    told = Classify().summarize(iter(ROWS[3:]), FakeMedia().info(), params())
    assert (told["label"], told["score"], told["labels"], told["timeline"]) == (None, None, [], [])


def test_lists_are_bounded_and_say_so():
    rows = ({"index": n, "pts_seconds": float(n), "labels": labels((f"l{n % 50}", 0.5))} for n in range(5000))
    told = Classify().summarize(rows, FakeMedia().info(), params())
    assert (len(told["labels"]), len(told["timeline"]), told["truncated"]) == (20, 1000, ["labels", "timeline"])


def test_a_frame_is_marked_with_its_best_labels_and_a_moment_is_a_labels_best_frame():
    marks = Classify().marks({"labels": labels(("x", 0.6), ("y", 0.3), ("z", 0.1), ("w", 0.0))}, params())
    assert [(mark.kind, mark.text) for mark in marks] == [("text", "x 60%"), ("text", "y 30%"), ("text", "z 10%")]
    told = Classify().summarize(iter(ROWS), FakeMedia(frames=100).info(), params())
    moments = Classify().moments(told, params())
    assert [(one.index, one.box) for one in moments] == [(20, None), (0, None)]
    assert moments[0].caption == "y 90% at second 2.000"
