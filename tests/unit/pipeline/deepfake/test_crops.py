"""Aligned crops: where a face lies, how large, how much its picture tells."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.deepfake.crops import CENTRE_ABOVE_TIP, MIN_WEIGHT, Crop, crop_face, is_crop, weigh, whole

#: a face that looks straight: eyes 40 apart, eyes to mouth 50
LANDMARKS = np.array([[-20, -30], [20, -30], [0, 0], [-15, 20], [15, 20]], dtype=float)
COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]


def drawn_face(degrees, size, centre=(300, 260)):
    """A picture with a dot on each landmark, and the finding a detector would make of it."""
    turn = np.radians(degrees)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = (LANDMARKS * size) @ rotation.T + np.array(centre)
    image = np.zeros((520, 600, 3), np.uint8)
    for (x, y), colour in zip(points, COLOURS, strict=True):
        cv2.circle(image, (round(x), round(y)), 5, colour, -1)
    low, high = points.min(axis=0), points.max(axis=0)
    return image, {"box": [*low, *(high - low)], "keypoints": points.tolist()}


def dot(crop, colour):
    """Where a colour lies in a crop: its mean place."""
    rows, columns = np.nonzero((np.abs(crop.image.astype(int) - colour) < 90).all(axis=2))
    assert len(rows)
    return np.array([columns.mean(), rows.mean()])


@given(st.floats(-180, 180), st.floats(0.8, 2.5))
@settings(max_examples=40, deadline=None)
def test_a_face_is_cut_upright_and_of_one_size_however_it_is_turned(degrees, size):
    image, face = drawn_face(degrees, size)
    crop = crop_face(image, face, 256, 2.86)
    assert crop.image.shape == (256, 256, 3)
    assert crop.pixels == pytest.approx(2.86 * 50 * size)
    unit = 256 / (2.86 * 50)
    centre = np.array([0, CENTRE_ABOVE_TIP * -30])
    for place, colour in zip(LANDMARKS, COLOURS, strict=True):
        assert dot(crop, colour) == pytest.approx((place - centre) * unit + 128, abs=3)


def test_what_lies_outside_the_picture_is_mirrored():
    image, face = drawn_face(0, 1.5, centre=(10, 260))
    crop = crop_face(image, face, 256, 2.86)
    # the nose is seen twice, ten pixels to the right and to the left of the picture's edge
    assert dot(crop, COLOURS[2])[0] == pytest.approx(128 - 10 * 256 / crop.pixels, abs=2)


def test_a_detector_without_landmarks_gives_an_upright_crop_around_its_box():
    image = np.zeros((200, 300, 3), np.uint8)
    image[80:120, 130:160] = 255
    crop = crop_face(image, {"box": [130, 80, 30, 40]}, 64, 2.86)
    assert crop.pixels == pytest.approx(0.36 * 40 * 2.86)
    rows, columns = np.nonzero(crop.image[:, :, 0] > 128)
    assert (columns.mean(), rows.mean()) == pytest.approx((31.5, 31.5), abs=1)


@pytest.mark.parametrize("points", [[[5, 5]] * 5, [[1, 2]], []])
def test_landmarks_that_tell_no_direction_fall_back_to_the_box(points):
    image = np.full((60, 60, 3), 7, np.uint8)
    with_points = crop_face(image, {"box": [10, 10, 20, 20], "keypoints": points}, 32, 2.0)
    assert with_points.pixels == pytest.approx(0.36 * 20 * 2.0)
    assert (with_points.image == 7).all()


@pytest.mark.parametrize(
    ("size", "boxes", "expected"),
    [
        ((256, 256), [[60, 0, 180, 232]], True),
        ((342, 342), [[80, 17, 187, 265]], True),
        ((128, 128), [[40, 24, 44, 53]], False),  # much around the face
        ((256, 512), [[60, 0, 180, 232]], False),  # not nearly square
        ((256, 256), [[0, 0, 120, 200], [130, 0, 120, 200]], False),  # two faces
        ((256, 256), [], False),
    ],
)
def test_a_picture_hardly_larger_than_its_only_face_is_a_crop_already(size, boxes, expected):
    faces = [{"box": box} for box in boxes]
    assert is_crop(np.zeros((*size, 3), np.uint8), faces, 1.7) is expected
    assert not is_crop(np.zeros((*size, 3), np.uint8), faces, 0.0)


def test_a_crop_counts_by_the_detail_it_can_hold():
    noisy = np.random.default_rng(1).integers(0, 255, (256, 256, 3), dtype=np.uint8)
    flat = np.full((256, 256, 3), 90, np.uint8)
    assert weigh(Crop(noisy, 256.0), Crop(noisy, 256.0).sharpness) == 1.0
    assert weigh(Crop(noisy, 900.0), 500.0) == 1.0
    assert weigh(Crop(noisy, 128.0), 500.0) == pytest.approx(0.25)
    assert weigh(Crop(noisy, 256.0), 5.0) == pytest.approx(0.25)
    assert weigh(Crop(flat, 256.0), Crop(flat, 256.0).sharpness) == MIN_WEIGHT


def test_blur_is_seen_at_any_crop_size():
    noisy = np.random.default_rng(1).integers(0, 255, (112, 112, 3), dtype=np.uint8)
    assert Crop(cv2.GaussianBlur(noisy, (0, 0), 4), 112.0).sharpness < 0.05 * Crop(noisy, 112.0).sharpness


def test_a_whole_picture_is_brought_to_the_classifiers_size():
    image = np.full((300, 260, 3), 40, np.uint8)
    crop = whole(image, 128)
    assert crop.image.shape == (128, 128, 3)
    assert crop.pixels == 260
    assert (crop.image == 40).all()
