"""The grammar of questions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.describe.questions import Phrase, parse, phrase


@pytest.mark.parametrize(
    ("text", "kind", "subject"),
    [
        ("How many apples are there?", "count", Phrase("apples")),
        ("how many red circles can you see in the picture", "count", Phrase("circles", "red")),
        ("What is the number of people in this image?", "count", Phrase("people")),
        ("Is there a cat?", "presence", Phrase("cat")),
        ("Are there any dogs in the picture?", "presence", Phrase("dogs")),
        ("Are there two blue squares?", "presence", Phrase("squares", "blue", 2)),
        ("Do you see a stop sign?", "presence", Phrase("stop sign")),
        ("What color is the truck?", "colour", Phrase("truck")),
        ("What colour are the bananas in the picture?", "colour", Phrase("bananas")),
        ("What is the colour of the triangle?", "colour", Phrase("triangle")),
        ("Where is the cat?", "where", Phrase("cat")),
        ("Where are the red apples?", "where", Phrase("apples", "red")),
        ("What's written on the sign?", "text", None),
        ("What does it say?", "text", None),
        ("What does the stop sign say?", "text", Phrase("stop sign")),
        ("What animal is this?", "identify", Phrase("animal")),
        ("What do you see?", "identify", None),
    ],
)  # fmt: skip
def test_question_is_understood(text, kind, subject):
    asked = parse(text)
    assert asked is not None
    assert (asked.kind, asked.subject) == (kind, subject)


def test_sides_name_both_things():
    asked = parse("Is the red circle to the left of the blue square?")
    assert (asked.kind, asked.side) == ("relation", "left")
    assert (asked.subject, asked.other) == (Phrase("circle", "red"), Phrase("square", "blue"))
    assert parse("What is above the triangle?").side == "above"


def test_colour_asked_for_is_told_apart_from_the_thing():
    asked = parse("Is the truck white?")
    assert (asked.kind, asked.subject, asked.colour) == ("is_colour", Phrase("truck"), "white")


def test_words_asked_for_keep_their_case():
    assert parse('Does it say "NO PARKING"?').words == "NO PARKING"


@pytest.mark.parametrize("question", ['Does it say "color by color"?', 'does the Colour card read "color by color"'])
def test_words_asked_for_are_spelled_as_they_were_typed(question):
    assert parse(question).words == "color by color"


@pytest.mark.parametrize("text", ["Why is the sky blue?", "Who painted it?", "", "?", "Tell me a story", "apples"])
def test_what_does_not_fit_is_not_understood(text):
    assert parse(text) is None


@given(
    st.sampled_from(["", "How many ", "Is there ", "Where are the "]),
    st.text(max_size=80) | st.text(st.characters(categories=["N"]), min_size=1, max_size=3).map("{} cats".format),
)
@settings(max_examples=300, deadline=None)
def test_any_text_is_understood_or_not_but_never_an_error(beginning, text):
    asked = parse(beginning + text)
    assert asked is None or asked.kind


def test_numbers_of_any_script_are_numbers_and_marks_that_look_like_them_are_not():
    assert parse("Are there ٣ cats?").subject == Phrase("cats", None, 3)
    assert parse("How many ² cats are there?").subject == Phrase("² cats")


@given(st.text("abc the in picture", max_size=40))
@settings(max_examples=60, deadline=None)
def test_a_phrase_is_never_longer_than_what_was_said(text):
    assert len(phrase(text).noun) <= len(text)
