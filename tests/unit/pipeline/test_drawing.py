"""Marks on pictures: they are where they should be, and nothing that a model says makes drawing fail."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.drawing import COLOURS, MAX_TEXT, colour_of, draw, plain_text
from pipeline.marks import Mark, box_mark

GREY = 90


def picture(height=240, width=320):
    return np.full((height, width, 3), GREY, np.uint8)


def changed(image, marks, scale=(1.0, 1.0)):
    """Where drawing changed the picture: bool, (height, width)."""
    drawn = draw(image, marks, scale)
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    return (drawn != image).any(axis=2)


def test_a_box_is_drawn_on_its_outline_and_nowhere_else():
    where = changed(picture(), [box_mark((100, 80, 60, 40))])
    for y, x in ((80, 130), (120, 130), (100, 100), (100, 160)):
        assert where[y, x]
    assert not where[90:112, 110:150].any()
    rows, columns = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
    assert 76 <= rows[0] <= 80
    assert 120 <= rows[-1] <= 124
    assert 96 <= columns[0] <= 100
    assert 160 <= columns[-1] <= 164


def test_marks_are_in_source_pixels_however_small_the_picture():
    where = changed(picture(120, 160), [box_mark((100, 80, 60, 40))], scale=(0.5, 0.5))
    assert where[40, 65]
    assert where[60, 65]
    assert not where[80:, :].any()


def test_the_picture_that_was_given_stays_as_it_is():
    image = picture()
    draw(image, [box_mark((10, 10, 50, 50), "cup 80%")], (1.0, 1.0))
    assert (image == GREY).all()


@pytest.mark.parametrize(
    ("kind", "points", "inside"),
    [
        ("polygon", ((50, 50), (150, 50), (100, 150)), (80, 100)),
        ("line", ((20, 20), (200, 200)), (110, 110)),
        ("points", ((60, 70), (200, 30)), (70, 60)),
    ],
)
def test_every_kind_of_mark_is_seen(kind, points, inside):
    assert changed(picture(), [Mark(kind, points)])[inside]


def test_a_line_is_open_and_a_polygon_closed():
    points = ((50.0, 50.0), (250.0, 50.0), (250.0, 200.0))
    assert not changed(picture(), [Mark("line", points)])[125, 150]
    assert changed(picture(), [Mark("polygon", points)])[125, 150]


def test_a_label_stands_inside_the_picture_whatever_corner_its_box_is_in():
    for x, y in ((0, 0), (300, 0), (0, 220), (300, 220), (-10, -10), (310, 230)):
        without = changed(picture(), [box_mark((x, y, 20, 20), group="cup")])
        labelled = changed(picture(), [box_mark((x, y, 20, 20), "cup 80%", "cup")])
        assert labelled.sum() > without.sum() + 200, (x, y)


def test_labels_of_boxes_at_one_place_do_not_cover_each_other():
    alone = changed(picture(), [box_mark((100, 100, 80, 60), "cup 80%", "cup")]).sum()
    outline = changed(picture(), [box_mark((100, 100, 80, 60), group="cup")]).sum()
    both = changed(
        picture(), [box_mark((100, 100, 80, 60), "cup 80%", "cup"), box_mark((100, 100, 80, 60), "cap", "c")]
    )
    assert both.sum() > alone + 0.3 * (alone - outline)


def test_texts_at_one_point_stand_below_each_other():
    lines = [Mark("text", ((0.0, 0.0),), f"label {number}", str(number)) for number in range(3)]
    heights = [np.flatnonzero(changed(picture(), lines[:count]).any(axis=1))[-1] for count in (1, 2, 3)]
    assert heights[0] < heights[1] < heights[2]
    assert not changed(picture(), lines)[120:].any()


def test_a_picture_too_small_for_letters_gets_its_box_without_them():
    assert (changed(picture(16, 16), [box_mark((4, 4, 8, 8), "cup")]) == changed(
        picture(16, 16), [box_mark((4, 4, 8, 8), group="cup")])).all()  # fmt: skip


def test_a_text_wider_than_the_picture_is_shortened():
    where = changed(picture(100, 60), [Mark("text", ((0.0, 50.0),), "a very long label that nobody can read")])
    assert where.any()


def test_a_group_has_one_colour_on_every_frame():
    assert colour_of("cup") == colour_of("cup")
    assert colour_of("cup") in COLOURS
    assert len({colour_of(name) for name in ("cup", "person", "car", "dog", "banana", "orange")}) > 2
    one = draw(picture(), [box_mark((10, 40, 100, 100), group="cup")], (1.0, 1.0))
    assert (one == colour_of("cup")).all(axis=2).any()


def test_a_text_is_one_line_of_printable_characters():
    assert plain_text("two\nlines\x00 and\ttabs") == "two lines and tabs"
    assert len(plain_text("x" * 10_000)) == MAX_TEXT


coordinates = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True), st.floats(-50, 400), st.sampled_from([0.0, -0.0, 1e308, -1e308])
)
marks = st.builds(
    Mark,
    kind=st.sampled_from(["box", "polygon", "line", "points", "text"]),
    points=st.lists(st.tuples(coordinates, coordinates), max_size=6).map(tuple),
    text=st.text(max_size=30),
    group=st.text(max_size=5),
)


@settings(max_examples=150, deadline=None)
@given(
    found=st.lists(marks, max_size=5),
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    scale=st.sampled_from([0.01, 0.5, 1.0, 3.0]),
)
def test_no_mark_makes_drawing_fail_and_equal_marks_give_equal_pictures(found, height, width, scale):
    image = picture(height, width)
    drawn = draw(image, found, (scale, scale))
    assert drawn.shape == image.shape
    assert (draw(image, found, (scale, scale)) == drawn).all()
    if not any(math.isfinite(x) and math.isfinite(y) for mark in found for x, y in mark.points):
        assert (drawn == image).all()


def test_labels_of_lines_of_text_cover_no_line():
    lines = [(10.0, 20.0 + 32 * number, 150.0, 20.0) for number in range(6)]
    plain = changed(picture(), [box_mark(line, group="line") for line in lines])
    labelled = changed(picture(), [box_mark(line, f"line {number}", "line") for number, line in enumerate(lines)])
    for number, (x, y, width, height) in enumerate(lines):
        inside = np.s_[round(y) + 4 : round(y + height) - 4, round(x) + 4 : round(x + width) - 4]
        assert not plain[inside].any()
        assert not labelled[inside].any(), number
    assert labelled.sum() > plain.sum() + 6 * 200
