"""Composed pictures and the questions about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.describe.asking import KINDS, QUESTIONS_PER_PICTURE, Asked, exams, is_right
from pipeline.describe.composing import PAINTS, shapes_picture
from pipeline.describe.questions import parse
from pipeline.frame import Frame
from pipeline.pipelines.describe import Describe
from pipeline.spec import canonical_params
from tests.fakes.fake_shelf import FakeShelf, card_of

NO_PHOTOGRAPHS = Path("none")


def test_a_seed_gives_one_exam_and_another_seed_another():
    (one,), (again,), (other,) = (exams(seed, 1, NO_PHOTOGRAPHS) for seed in (4, 4, 5))
    assert one.asked == again.asked
    assert np.array_equal(one.image, again.image)
    assert not np.array_equal(one.image, other.image)


@pytest.mark.parametrize("seed", range(8))
def test_questions_have_a_truth_that_the_picture_bears_out(seed):
    made = shapes_picture(np.random.default_rng([seed, 0]))
    (exam,) = exams(seed, 1, NO_PHOTOGRAPHS)
    assert len(exam.asked) == QUESTIONS_PER_PICTURE
    assert {one.kind for one in exam.asked} <= set(KINDS)
    for one in exam.asked:
        asked = parse(one.question)
        if one.kind == "count":
            assert int(one.truth) == sum(thing["label"] == asked.subject.noun.rstrip("s") for thing in made.things)
        if one.kind == "colour":
            assert one.truth in PAINTS
        if one.kind == "text":
            assert one.truth == (made.text or "unknown")


def test_text_may_differ_in_case_and_spaces_but_numbers_and_unknown_must_be_met():
    assert is_right(Asked("text", "?", "MIND THE GAP"), "mind thegap")
    assert not is_right(Asked("text", "?", "MIND THE GAP"), "mind the cap")
    assert not is_right(Asked("text", "?", "unknown"), "EXIT")
    assert not is_right(Asked("count", "?", "3"), "4")
    assert not is_right(Asked("unanswerable", "?", "unknown"), "no")


def test_a_drawn_picture_is_answered_by_what_is_in_it():
    (exam,) = exams(7, 1, NO_PHOTOGRAPHS)
    describe, shelf = Describe(), FakeShelf(card_of(labels=("cat", "truck")))
    asked = [one.question for one in exam.asked]
    params = canonical_params(describe.spec.params_schema, {"detector": "faked", "task": "vqa", "question": asked})
    frame = Frame(exam.image, 0, 0, 0.0)
    row = describe.observe(None, frame, describe.infer([frame], params, shelf)[0], params)
    told = [is_right(one, answer["answer"]) for one, answer in zip(exam.asked, row["answers"], strict=True)]
    assert sum(told) >= 3
