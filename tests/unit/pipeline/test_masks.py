"""Heads of segmenters: a shape put into the outputs comes out as area and outline in the picture's pixels."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ModelError
from pipeline.models.card import Input, ModelCard, Output, Weights
from pipeline.models.decoders import SEGMENTERS
from pipeline.models.findings import MAX_POINTS, masked
from pipeline.models.preprocess import place

SIZE = 128


def card(decoder, resize="letterbox_centre", labels=("a", "b"), **output):
    return ModelCard(
        name="m", task="segment", runtime="onnx", weights=Weights(file="m.onnx"),
        input=Input(width=SIZE, height=SIZE, resize=resize), output=Output(decoder=decoder, labels=labels, **output),
    )  # fmt: skip


def read(outputs, used, width=SIZE, height=SIZE):
    _, placement = place(np.zeros((height, width, 3), np.uint8), used.input)
    (regions,) = SEGMENTERS[used.output.decoder](outputs, used)
    found = masked(used, regions, placement)
    json.dumps(found, allow_nan=False)
    return found


def disc(rows, columns, centre, radius, value=1.0):
    """Return a map with a disc: centre and radius as parts of the map's sides, soft at the edge as a network's is."""
    y, x = np.mgrid[:rows, :columns]
    far = np.hypot((x + 0.5) / columns - centre[0], (y + 0.5) / rows - centre[1])
    return (np.clip((radius - far) * rows / 2 + 0.5, 0, 1) * value).astype(np.float32)


def write_yolov8_seg(mask, box):
    prototypes = np.stack([(mask - 0.5) * 20, np.full_like(mask, 3.0)])[None]
    rows = np.zeros((1, 4 + 2 + 2, 5), np.float32)
    rows[0, :, 3] = [*box, 0.1, 0.9, 1.0, 0.0]
    return {"output0": rows, "output1": prototypes}


def write_yolov5_seg(mask, box):
    out = write_yolov8_seg(mask, box)
    rows = np.insert(out["output0"].transpose(0, 2, 1), 4, 1.0, axis=2)
    return {"output0": rows, "output1": out["output1"]}


def write_instances(mask, box):
    half = np.array(box[2:]) / 2
    corners = np.array([[[*(np.array(box[:2]) - half), *(np.array(box[:2]) + half)], [0, 0, 0, 0]]], np.float32)
    return {
        "boxes": corners, "scores": np.array([[0.9, 0.0]]), "classes": np.array([[2, 0]]),
        "masks": np.stack([mask, mask])[None, :, None],
    }  # fmt: skip


def write_semantic(mask, box):
    return {"map": np.log(np.stack([1 - mask, np.zeros_like(mask), mask])[None] + 1e-6)}


HEADS = {
    "yolov8_seg": (write_yolov8_seg, {}),
    "yolov5_seg": (write_yolov5_seg, {}),
    "instances": (write_instances, {"background": 0}),
    "semantic": (write_semantic, {"background": 0}),
}


@pytest.mark.parametrize("decoder", HEADS)
@given(
    centre=st.tuples(st.floats(0.3, 0.7), st.floats(0.3, 0.7)),
    radius=st.floats(0.12, 0.25),
    shape=st.tuples(st.integers(100, 400), st.integers(100, 400)),
    resize=st.sampled_from(["stretch", "letterbox", "letterbox_centre"]),
)
@settings(max_examples=20, deadline=None)
def test_a_disc_comes_back_with_its_area_and_outline_in_a_picture_of_any_shape(decoder, centre, radius, shape, resize):
    write, options = HEADS[decoder]
    used = card(decoder, resize, **options)
    width, height = shape
    picture, placement = place(
        np.repeat((disc(height, width, centre, radius) * 255).astype(np.uint8)[..., None], 3, axis=2), used.input
    )
    inside = (picture[..., 0] / 255).astype(np.float32)
    if resize != "stretch":  # what the padding holds is no part of the disc
        x, y = round(placement.left), round(placement.top)
        kept = np.zeros_like(inside)
        kept[y : y + round(height * placement.scale_y), x : x + round(width * placement.scale_x)] = 1
        inside *= kept
    # the network's map is half as fine as its input
    mask = cv2.resize(inside, (SIZE // 2, SIZE // 2), interpolation=cv2.INTER_AREA)
    wide, high = 2 * radius * width * placement.scale_x, 2 * radius * height * placement.scale_y
    middle = [
        centre[0] * width * placement.scale_x + placement.left,
        centre[1] * height * placement.scale_y + placement.top,
    ]
    (one,) = read(write(mask, [*middle, wide + 6, high + 6]), used, width, height)
    truth = disc(height, width, centre, radius) >= 0.5
    assert one["label"] == "b"
    assert one["area"] == pytest.approx(truth.sum(), rel=0.12)
    painted = np.zeros((height, width), np.uint8)
    cv2.fillPoly(painted, [np.array(ring, np.float32).astype(np.int32) for ring in one["polygon"]], 1)
    assert (painted.astype(bool) & truth).sum() / (painted.astype(bool) | truth).sum() > 0.85
    assert len(one["polygon"][0]) <= MAX_POINTS


def test_a_mask_over_its_box_is_read_there():
    out = write_instances(np.ones((28, 28), np.float32), [40, 60, 20, 30])
    (one,) = read(out, card("instances", background=0, masks="box"))
    assert (one["box"], one["area"]) == ([30, 45, 20, 30], 600)


def test_holes_are_not_counted():
    ring = disc(SIZE, SIZE, (0.5, 0.5), 0.4) - disc(SIZE, SIZE, (0.5, 0.5), 0.2)
    (one,) = read(write_semantic(ring, None), card("semantic", background=0))
    assert one["area"] == pytest.approx(np.pi * 128**2 * (0.16 - 0.04), rel=0.03)
    assert len(one["polygon"]) == 1


def test_pieces_of_a_label_are_one_finding_or_with_split_parts_one_each():
    two = disc(64, 64, (0.25, 0.25), 0.15) + disc(64, 64, (0.75, 0.75), 0.2)
    (joined,) = read(write_semantic(two, None), card("semantic", background=0))
    apart = read(write_semantic(two, None), card("semantic", background=0, split_parts=True))
    assert len(joined["polygon"]) == 2
    assert sum(one["area"] for one in apart) == pytest.approx(joined["area"], rel=0.01)
    assert sorted(one["box"][0] < 64 for one in apart) == [False, True]


def test_a_map_of_class_numbers_is_read_as_it_is():
    numbers = np.zeros((1, 32, 32), np.float32)
    numbers[0, 8:16, 4:20] = 1
    numbers[0, 20:24, 20:24] = 2
    found = read({"map": numbers}, card("semantic", background=0, activation="classes"))
    assert [(one["label"], one["score"], one["box"], one["area"]) for one in found] == [
        ("a", 1.0, [16, 32, 64, 32], pytest.approx(16 * 8 * 16, rel=0.03)),
        ("b", 1.0, [80, 80, 16, 16], pytest.approx(256, rel=0.05)),
    ]


def test_one_map_with_one_label_is_read_by_its_sigmoid():
    out = {"map": ((disc(64, 64, (0.5, 0.5), 0.25) - 0.5) * 20)[None, None]}
    (one,) = read(out, card("semantic", labels=("food",)))
    assert (one["label"], one["score"] > 0.9) == ("food", True)


def test_nothing_but_background_is_no_finding():
    assert read(write_semantic(np.zeros((16, 16), np.float32), None), card("semantic", background=0)) == []


def test_a_map_of_noise_makes_a_bounded_number_of_findings_with_bounded_outlines():
    noise = np.random.default_rng(1).random((256, 256)).astype(np.float32)
    found = read(write_semantic(noise, None), card("semantic", background=0, split_parts=True, score_floor=0))
    assert 0 < len(found) <= 300
    assert all(len(ring) <= MAX_POINTS for one in found for ring in one["polygon"])
    assert len(json.dumps(found)) < 2_000_000


@pytest.mark.parametrize(
    ("decoder", "outputs", "fault"),
    [
        ("semantic", {"o": np.zeros((1, 5, 4, 4))}, "5 classes, the card 2 with the background"),
        ("semantic", {"o": np.zeros((1, 5))}, "does not fit"),
        ("semantic", {"a": np.zeros((1, 2, 4, 4)), "b": np.zeros((1, 2, 4, 4))}, "several outputs"),
        ("yolov8_seg", {"a": np.zeros((1, 9, 5)), "b": np.zeros((1, 2, 4, 4))}, "3 classes, the card labels 2"),
        ("yolov8_seg", {"a": np.zeros((1, 9, 5))}, "no output 'rows'"),
        ("instances", {"boxes": np.zeros((1, 2, 4)), "scores": np.zeros((1, 2))}, "no output 'classes'"),
    ],
)
def test_outputs_of_another_form_than_the_card_says_are_told(decoder, outputs, fault):
    with pytest.raises(ModelError, match=fault):
        read(outputs, card(decoder))


def test_a_class_number_that_the_card_does_not_know_is_told():
    with pytest.raises(ModelError, match="class 7, the card knows 2"):
        read({"o": np.full((1, 4, 4), 7.0)}, card("semantic", activation="classes"))
