"""The describe pipeline: real reading of a drawn sign, around any detector."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.describe.parameters import SUMMARY_FIELDS
from pipeline.errors import ParamsError
from pipeline.frame import Frame
from pipeline.pipelines.describe import Describe
from pipeline.spec import ParamsInvalid, canonical_params
from tests.fakes.fake_cage import FakeMedia
from tests.fakes.fake_shelf import FakeShelf, card_of

SIGN = np.asarray(Image.open(Path(__file__).parents[4] / "examples" / "sign.png").convert("RGB"))
TEXT = ["FRESH BREAD", "Open 7:00 - 18:00", "Closed on Sundays"]


def params(**given):
    return canonical_params(Describe.spec.params_schema, {"detector": "faked", **given})


def shelf_of(*found):
    return FakeShelf(card_of(labels=("cat", "truck")), card_of("classifier", task="classify"), find=lambda image: found)


def row_of(image, *found, place=0, scale=1.0, **given):
    describe, filled = Describe(), params(**given)
    frame = Frame(image, place, place, float(place), scale)
    (inferred,) = describe.infer([frame], filled, shelf_of(*found))
    row = describe.observe(None, frame, inferred, filled)
    json.dumps(row, allow_nan=False)
    return {"index": place, "pts": place, "pts_seconds": float(place), "sampler": "still", **row}


def summary_of(*rows, **given):
    return Describe().summarize(iter(rows), FakeMedia(frames=50).info(), params(**given))


def folded(lines):
    return ["".join(line["text"].split()).lower() for line in lines]


@pytest.fixture(scope="module")
def read():
    return row_of(SIGN, task="ocr")


def test_a_signs_text_is_read_line_by_line_with_its_places(read):
    assert folded(read["lines"]) == ["".join(text.split()).lower() for text in TEXT]
    x, y, width, _ = read["lines"][1]["box"]
    assert 50 < x < 70
    assert 215 < y < 245
    assert 280 < width < 360
    assert read["turned"] == 0


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_page_on_its_side_or_head_is_read_and_its_places_are_those_of_the_picture(read, quarters):
    turned = np.ascontiguousarray(np.rot90(SIGN, -quarters))
    row = row_of(turned, task="ocr")
    assert folded(row["lines"]) == folded(read["lines"])
    x, y = read["lines"][2]["quad"][0]
    for quarter in range(quarters):
        x, y = SIGN.shape[quarter % 2] - y, x
    assert row["lines"][2]["quad"][0] == pytest.approx([x, y], abs=12)


def test_a_picture_without_text_has_none():
    assert row_of(np.zeros((120, 200, 3), np.uint8), task="ocr")["lines"] == []
    assert row_of(np.zeros((1, 3, 3), np.uint8), task="ocr")["lines"] == []


def test_places_are_in_source_pixels():
    small = row_of(SIGN, scale=0.5, task="ocr")
    assert 100 < small["lines"][1]["box"][0] < 140


def test_questions_are_answered_from_what_is_on_the_sign():
    asked = {
        "How many green triangles are there?": "2",
        "What colour is the circle?": "red",
        "Where is the circle?": "top right",
        "Is there a truck?": "no",
        "What does the blue rectangle say?": "FRESH BREAD",
        "Does it say Sundays?": "yes",
        "How many wizards are there?": "unknown",
    }
    row = row_of(SIGN, task="vqa", question=list(asked))
    told = summary_of(row, task="vqa", question=list(asked))
    assert {one["question"]: one["answer"] for one in told["answers"]} == asked
    assert (told["answer"], told["grounded"], told["source"]) == ("2", True, "detections")
    assert len(told["evidence"]) == 2
    assert "wizards" in told["answers"][-1]["reason"]
    assert set(told) == set(SUMMARY_FIELDS)


def test_a_caption_names_what_the_detector_found_with_its_colour():
    image = np.full((200, 300, 3), (60, 120, 60), np.uint8)
    shaded = np.random.default_rng(1).integers(205, 256, (80, 100, 1), np.uint8)  # a flat patch would be a shape
    image[60:140, 100:200] = shaded
    row = row_of(image, {"label": "truck", "score": 0.9, "box": [95, 55, 110, 90]}, read_text=False)
    told = summary_of(row)
    assert told["text"] == "A white truck in the centre."
    assert told["evidence"][0]["box"] == [95, 55, 110, 90]


def test_what_was_read_for_long_is_told_once_with_its_times(read):
    later = {**read, "index": 9, "pts_seconds": 3.0}
    told = summary_of(read, later, task="ocr")
    assert [line["frames"] for line in told["lines"]] == [2, 2, 2]
    assert (told["lines"][0]["first_seconds"], told["lines"][0]["last_seconds"]) == (0.0, 3.0)
    assert told["source"] == "reader"


def test_a_videos_caption_names_what_stays_and_leaves_flicker_to_the_timeline():
    truck = {"label": "truck", "score": 0.9, "box": [10, 10, 50, 40], "colour": {"name": "white", "share": 0.9}}
    flicker = {**truck, "label": "cat", "colour": None}
    common = {"turned": 0, "lines": [], "scene": "vehicles", "evidence": [], "carried_from": None}
    rows = [
        {"index": 9 * place, "pts_seconds": float(place), "objects": things, "text": f"caption {len(things)}", **common}
        for place, things in enumerate([[truck], [truck, truck], [truck, flicker], [], [truck]])
    ]
    told = summary_of(*rows)
    assert told["text"] == "Two white trucks."
    assert [one["label"] for one in told["evidence"]] == ["truck"]
    assert [one["text"] for one in told["timeline"]] == ["caption 1", "caption 2", "caption 0", "caption 1"]
    assert told["objects"]["cat"]["max"] == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"task": "vqa"}, {"task": "vqa", "question": None}, {"task": "vqa", "question": []}, {"question": ""},
        {"task": "sing"}, {"question": "x" * 501}, {"question": ["a"] * 51}, {"min_text_score": 2}, {"model": "../x"},
    ],
)  # fmt: skip
def test_params_have_limits(bad):
    with pytest.raises(ParamsInvalid):
        params(**bad)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"task": "vqa"}, "/question: task vqa answers a question: give one"),
        ({"question": "Is there a cat?"}, "/question: only task vqa answers questions: set task to vqa"),
        ({"task": "vqa", "question": 7}, "/question: it takes a question of 1 to 500 characters, or 1 to 50 of them"),
    ],
)
def test_a_question_that_is_missing_or_idle_is_refused_in_words(given, fault):
    with pytest.raises(ParamsInvalid) as refused:
        params(**given)
    assert str(refused.value) == fault


def test_a_model_of_another_task_is_refused_but_only_where_the_task_needs_one():
    with pytest.raises(ParamsError):
        Describe().check(params(detector="classifier"), shelf_of())
    Describe().check(params(detector="classifier", task="ocr"), shelf_of())


def test_the_readers_networks_are_named_by_digest_where_they_are_used():
    names = [one["name"] for one in Describe().models_used(params(), shelf_of())]
    assert names == ["faked", "ch_PP-OCRv4_det_infer", "ch_PP-OCRv4_rec_infer", "ch_ppocr_mobile_v2.0_cls_infer"]
    assert [one["name"] for one in Describe().models_used(params(read_text=False), shelf_of())] == ["faked"]
    networks = Describe().models_used(params(task="ocr"), shelf_of())
    assert all(len(one["digest"]) == 64 and one["licence"] == "Apache-2.0" for one in networks)


def test_marks_show_every_line_and_thing_and_moments_where_answers_stand(read):
    assert [mark.text for mark in Describe().marks(read, params(task="ocr"))] == [one["text"] for one in read["lines"]]
    told = summary_of(read, task="ocr")
    moments = Describe().moments(told, params(task="ocr"))
    assert [moment.index for moment in moments] == [0, 0, 0]
    assert moments[0].caption == read["lines"][0]["text"]


class _Talking:
    """An image-text model that says which picture and prompt it was given."""

    def describe(self, images, prompt=None):
        return [f"{prompt or 'a picture'} {image.shape[1]} wide" for image in images]


class _TalkingShelf(FakeShelf):
    def load(self, name):
        return _Talking() if name == "talker" else super().load(name)


def test_a_mounted_model_speaks_in_place_of_the_grounded_words_and_is_marked():
    given = {"detector": "faked", "model": "talker", "task": "vqa", "question": ["why", "who"], "read_text": False}
    filled, describe = params(**given), Describe()
    frame = Frame(SIGN, 0, 0, 0.0)
    (inferred,) = describe.infer([frame], filled, _TalkingShelf(card_of(labels=("cat",))))
    row = {"index": 0, "pts_seconds": 0.0, **describe.observe(None, frame, inferred, filled)}
    told = describe.summarize(iter([row]), FakeMedia().info(), filled)
    assert [one["answer"] for one in told["answers"]] == ["why 800 wide", "who 800 wide"]
    assert (told["source"], told["grounded"], told["evidence"]) == ("talker", False, [])
