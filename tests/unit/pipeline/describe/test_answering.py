"""Answers stand on what was seen and read; what does not is unknown."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.describe.answering import UNKNOWN, answer
from pipeline.describe.captioning import NOTHING, caption_of, kind_of
from pipeline.describe.questions import parse
from pipeline.describe.scene import Scene, is_beside, place_of
from pipeline.describe.vocabulary import labels_of, said

KNOWN = ("person", "car", "truck", "cat", "dog", "apple", "banana", "orange", "stop sign", "tvmonitor", "diningtable")


def thing(label, box, colour=None, score=0.9):
    told = {"name": colour, "share": 0.8} if colour else None
    return {"label": label, "score": score, "box": box, "colour": told, "source": "detector"}


def line(text, box, score=0.95):
    return {"text": text, "score": score, "box": box, "block": 0}


SCENE = Scene(
    things=[
        thing("apple", [10, 10, 40, 40], "red", 0.8),
        thing("apple", [240, 10, 40, 40], "green", 0.7),
        thing("truck", [130, 130, 40, 40], "white"),
        thing("stop sign", [10, 220, 80, 70], "red"),
        thing("circle", [250, 250, 30, 30], "blue"),
    ],
    lines=[line("STOP", [20, 240, 60, 20]), line("Bakery", [120, 20, 60, 20])],
    width=300,
    height=300,
)


def reply(text, scene=SCENE, known=KNOWN):
    return answer(parse(text), scene, known)


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("How many apples are there?", "2"),
        ("How many red apples are there?", "1"),
        ("How many dogs can you see?", "0"),
        ("How many fruits are there?", "2"),
        ("Is there a truck?", "yes"),
        ("Is there a lorry?", "yes"),
        ("Are there three apples?", "no"),
        ("Is there a dog?", "no"),
        ("Is there a child?", "no"),
        ("What colour is the truck?", "white"),
        ("What colour are the apples?", "red and green"),
        ("Is the truck white?", "yes"),
        ("Is the truck red?", "no"),
        ("Where is the truck?", "centre"),
        ("Where is the green apple?", "top right"),
        ("Where is the stop sign?", "bottom left"),
        ("Is the red apple left of the green apple?", "yes"),
        ("Is the truck above the apples?", "no"),
        ("What does it say?", "STOP Bakery"),
        ("What does the stop sign say?", "STOP"),
        ("Does it say bakery?", "yes"),
        ("Does it say butcher?", "no"),
        ("What vehicle is it?", "truck"),
        ("How many circles are there?", "1"),
    ],
)
def test_question_is_answered(question, told):
    assert reply(question).text == told


@pytest.mark.parametrize(
    "question",
    [
        "How many dragons are there?", "Is there a unicorn?", "What colour is the dog?", "Where is the cat?",
        "What does the truck say?", "What does the piano say?", "Why is it red?", "What colour is the sky?",
    ],
)  # fmt: skip
def test_what_cannot_be_grounded_is_unknown_with_a_reason(question):
    told = reply(question)
    assert (told.text, told.confidence, list(told.evidence)) == (UNKNOWN, None, [])
    assert told.reason


def test_a_finer_word_than_the_detector_knows_is_not_guessed():
    people = Scene([thing("person", [0, 0, 50, 90])], [], 100, 100)
    told = reply("Is there a child?", people)
    assert told.text == UNKNOWN
    assert "child" in told.reason


def test_an_answer_is_as_sure_as_the_least_of_its_evidence():
    told = reply("How many apples are there?")
    assert told.confidence == 0.7
    assert [one["box"] for one in told.evidence] == [[10, 10, 40, 40], [240, 10, 40, 40]]


@given(st.integers(0, 30), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_counts_are_those_of_the_evidence(apples, cars):
    things = [thing("apple", [0, 0, 9, 9])] * apples + [thing("car", [0, 0, 9, 9])] * cars
    scene = Scene(things, [], 100, 100)
    assert reply("How many apples are there?", scene).number == apples
    assert reply("How many cars are there?", scene).number == cars
    assert reply("Is there an apple?", scene).text == ("yes" if apples else "no")


@given(st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_any_question_gets_an_answer_or_unknown(text):
    told = answer(parse(text), SCENE, KNOWN)
    assert told.is_known or told.reason


def test_synonyms_and_plurals_lead_to_the_labels_a_detector_has():
    assert labels_of("people", KNOWN) == ("person",)
    assert labels_of("televisions", KNOWN) == ("tvmonitor",)
    assert labels_of("tables", KNOWN) == ("diningtable",)
    assert labels_of("animals", KNOWN) == ("cat", "dog")
    assert labels_of("gizmos", KNOWN) is None
    # another detector spells them otherwise
    assert labels_of("tv", ("tv",)) == ("tv",)
    assert labels_of("plane", ("airplane",)) == ("airplane",)
    assert [said("person", 2), said("bus", 2), said("knife", 1)] == ["people", "buses", "knife"]


@pytest.mark.parametrize(
    ("box", "told"), [([0, 0, 9, 9], "top left"), ([45, 45, 9, 9], "centre"), ([45, 90, 9, 9], "bottom")]
)
def test_places_are_named_by_thirds(box, told):
    assert place_of(box, 100, 100) == told


@given(st.lists(st.integers(0, 100), min_size=4, max_size=4))
@settings(max_examples=60, deadline=None)
def test_nothing_is_on_both_sides_of_another(places):
    one, other = [places[0], places[1], 2, 2], [places[2], places[3], 2, 2]
    for side, opposite in (("left", "right"), ("above", "below")):
        assert not (is_beside(one, side, other) and is_beside(one, opposite, other))
        assert is_beside(one, side, other) == is_beside(other, opposite, one)


def test_a_caption_says_what_was_found_and_nothing_else():
    truck = Scene([thing("truck", [100, 100, 90, 90], "white")], [], 300, 300)
    assert caption_of(truck) == "A white truck in the centre."
    assert caption_of(Scene([thing("cat", [0, 0, 90, 90], "brown")], [], 100, 100)) == "A close-up of a brown cat."
    fruit = [thing("apple", [0, 0, 9, 9], "red")] * 3 + [thing("orange", [0, 0, 4, 4], "orange")]
    assert caption_of(Scene(fruit, [], 100, 100)) == "Three red apples and an orange in the top left."
    assert caption_of(Scene([], [line("EXIT", [0, 0, 9, 9])], 100, 100)) == "Text that reads: “EXIT”"
    assert caption_of(Scene([], [], 100, 100)) == NOTHING


def test_the_kind_of_a_picture_is_that_of_most_of_it():
    assert kind_of(SCENE) == "things"
    assert kind_of(Scene([thing("cat", [0, 0, 9, 9])], [], 10, 10)) == "animals"
    assert kind_of(Scene([], [line("a", [0, 0, 1, 1])], 10, 10)) == "text"
    assert kind_of(Scene([], [], 10, 10)) == "unknown"
