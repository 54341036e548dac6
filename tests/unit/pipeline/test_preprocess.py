"""From pictures to a model's input and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.models.card import Input
from pipeline.models.preprocess import place, prepare


def picture(height, width, value=(10, 20, 30)):
    return np.full((height, width, 3), value, dtype=np.uint8)


@pytest.mark.parametrize(
    ("colour", "layout", "shape", "first"),
    [
        ("RGB", "NCHW", (2, 3, 8, 6), [10, 20, 30]),
        ("BGR", "NCHW", (2, 3, 8, 6), [30, 20, 10]),
        ("RGB", "NHWC", (2, 8, 6, 3), [10, 20, 30]),
        ("GREY", "NCHW", (2, 1, 8, 6), [18]),
    ],
)
def test_channels_and_layout_are_as_the_card_says(colour, layout, shape, first):
    spec = Input(width=6, height=8, colour=colour, layout=layout, scale=1.0)
    values, _ = prepare([picture(8, 6), picture(30, 40)], spec)
    assert (values.shape, values.dtype, values.flags.c_contiguous) == (shape, np.float32, True)
    pixel = values[0, :, 0, 0] if layout == "NCHW" else values[0, 0, 0]
    assert pixel.tolist() == first


def test_values_are_scaled_then_normalised_per_channel():
    spec = Input(width=1, height=1, scale=1 / 10, mean=(1.0, 1.0, 1.0), std=(1.0, 2.0, 4.0))
    values, _ = prepare([picture(1, 1)], spec)
    assert values.ravel().tolist() == pytest.approx([0.0, 0.5, 0.5])


def test_a_letterbox_keeps_aspect_and_fills_the_rest():
    values, placement = place(picture(10, 20, 200), Input(width=8, height=8, resize="letterbox", pad=7))
    assert (values[:4] == 200).all()
    assert (values[4:] == 7).all()
    assert (placement.left, placement.top) == (0, 0)


def test_a_centred_letterbox_fills_above_and_below():
    values, placement = place(picture(10, 20, 200), Input(width=8, height=8, resize="letterbox_centre", pad=7))
    assert [row[0, 0] for row in values[:, :1]] == [7, 7, 200, 200, 200, 200, 7, 7]
    assert placement.top == 2


def test_a_crop_fills_the_input_and_loses_the_sides():
    image = picture(10, 20, 0)
    image[:, 5:15] = 250
    values, placement = place(image, Input(width=10, height=10, resize="crop"))
    assert (values == 250).all()
    assert placement.left == -5


MODES = st.sampled_from(["stretch", "letterbox", "letterbox_centre", "crop"])
SIDES = st.integers(1, 60)


@given(SIDES, SIDES, SIDES, SIDES, MODES)
def test_any_picture_fits_any_input_and_its_corners_come_back(height, width, to_height, to_width, mode):
    values, placement = place(picture(height, width), Input(width=to_width, height=to_height, resize=mode))
    assert values.shape == (to_height, to_width, 3)
    corners = np.array([[0, 0], [width, height]], dtype=np.float32)
    scale, offset = [placement.scale_x, placement.scale_y], [placement.left, placement.top]
    assert placement.to_picture(corners * scale + offset) == pytest.approx(corners, abs=0.01)


def test_points_outside_the_picture_are_moved_to_its_edge():
    _, placement = place(picture(10, 20), Input(width=8, height=8, resize="letterbox"))
    assert placement.to_picture(np.array([[-5.0, 99.0]], dtype=np.float32)).tolist() == [[0.0, 10.0]]
