"""Names of colours, and flat shapes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.describe.colours import FOCALS, MAX_GAIN, colours_of, exposure, name_of
from pipeline.describe.shapes import shapes_of
from pipeline.describe.vocabulary import COLOURS


@pytest.mark.parametrize("name", COLOURS)
def test_good_examples_have_their_own_name(name):
    assert {name_of(shade) for shade in FOCALS[name]} == {name}


@given(st.integers(0, 255))
@settings(max_examples=40, deadline=None)
def test_greys_have_no_hue_and_go_from_black_to_white(level):
    assert name_of((level, level, level)) in ("black", "grey", "white")


@given(st.tuples(*[st.integers(0, 255)] * 3))
@settings(max_examples=60, deadline=None)
def test_every_colour_has_one_of_the_eleven_names(rgb):
    assert name_of(rgb) in COLOURS


def scene(ground, paint):
    image = np.full((120, 160, 3), ground, np.uint8)
    cv2.circle(image, (80, 60), 30, paint, -1)
    return image


PAINTS = [((220, 20, 30), "red"), ((30, 70, 200), "blue"), ((250, 220, 20), "yellow")]


@pytest.mark.parametrize(("paint", "name"), PAINTS)
def test_a_loosely_boxed_things_colour_is_not_its_backgrounds(paint, name):
    (told,) = colours_of(scene((60, 140, 70), paint), [[40, 20, 80, 80]])
    assert told["name"] == name
    assert told["share"] > 0.5


def test_white_under_clouds_is_white_and_grey_beside_white_is_grey():
    (clouded,) = colours_of(scene((90, 40, 35), (175, 178, 180)), [[48, 28, 64, 64]])
    (beside,) = colours_of(scene((255, 255, 255), (130, 132, 135)), [[48, 28, 64, 64]])
    assert (clouded["name"], beside["name"]) == ("white", "grey")


def test_a_box_too_small_has_no_colour():
    assert colours_of(scene((0, 0, 0), (255, 0, 0)), [[10, 10, 2, 30], [158, 0, 40, 40]]) == [None, None]


@given(st.integers(0, 255))
@settings(max_examples=20, deadline=None)
def test_light_is_never_raised_without_bound(level):
    assert 1.0 <= exposure(np.full((20, 20, 3), level, np.uint8)) <= MAX_GAIN


def test_flat_shapes_are_named_with_place_and_colour():
    image = np.full((360, 480, 3), 250, np.uint8)
    cv2.circle(image, (80, 80), 40, (220, 20, 30), -1, cv2.LINE_AA)
    cv2.rectangle(image, (200, 40), (280, 120), (30, 70, 200), -1)
    cv2.rectangle(image, (320, 60), (450, 110), (30, 150, 50), -1)
    cv2.fillPoly(image, [np.array([[100, 200], [40, 300], [160, 300]], np.int32)], (250, 130, 20), cv2.LINE_AA)
    told = {one["label"]: one for one in shapes_of(image)}
    assert {label: one["colour"] for label, one in told.items()} == {
        "circle": "red", "square": "blue", "rectangle": "green", "triangle": "orange",
    }  # fmt: skip
    assert told["square"]["box"] == [200, 40, 81, 81]


def test_rings_noise_and_what_touches_the_edge_are_no_shapes():
    image = np.full((360, 480, 3), 250, np.uint8)
    cv2.circle(image, (120, 120), 60, (220, 20, 30), 12)
    cv2.rectangle(image, (0, 200), (90, 300), (30, 70, 200), -1)
    image[150:350, 250:450] = np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    assert shapes_of(image) == []
    assert shapes_of(np.zeros((1, 1, 3), np.uint8)) == []
