"""Heads of anchor-free, anchored and end-to-end detectors: what was put into the outputs comes out as boxes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ModelError
from pipeline.models.anchor_heads import prior_boxes
from pipeline.models.card import Input, ModelCard, Output, PriorMap, Weights
from pipeline.models.decoders import DETECTORS
from pipeline.models.findings import boxed
from pipeline.models.preprocess import place

SIZE = 128
STRIDES = (8, 16, 32)
CELLS = sum((SIZE // stride) ** 2 for stride in STRIDES)
PRIORS = (PriorMap(stride=16, sizes=((20, 20), (40, 20))), PriorMap(stride=64, sizes=((60, 60),)))


def card(decoder, resize="letterbox_centre", **output):
    return ModelCard(
        name="m", task="detect", runtime="onnx", weights=Weights(file="m.onnx"),
        input=Input(width=SIZE, height=SIZE, resize=resize),
        output=Output(decoder=decoder, **{"labels": ("a", "b", "c"), "strides": STRIDES, "priors": PRIORS} | output),
    )  # fmt: skip


def logit(p):
    return math.log(p / (1 - p))


def grid():
    """Return (x, y, stride) of every cell, strides one after another, rows first."""
    return [(x, y, s) for s in STRIDES for y in range(SIZE // s) for x in range(SIZE // s)]


# each writer puts one box (centre x, y, width, height in input pixels) of one class into outputs that tell nothing else


def write_yolox(box, label, cell):
    out = np.zeros((1, CELLS, 8), np.float32)
    x, y, stride = grid()[cell]
    out[0, cell] = [box[0] / stride - x, box[1] / stride - y, math.log(box[2] / stride), math.log(box[3] / stride),
                    0.9, 0, 0, 0]  # fmt: skip
    out[0, cell, 5 + label] = 1.0
    return {"out": out}


def sides(box, x, y, stride, offset=0.5):
    px, py = (x + offset) * stride, (y + offset) * stride
    return [px - box[0] + box[2] / 2, py - box[1] + box[3] / 2, box[0] + box[2] / 2 - px, box[1] + box[3] / 2 - py]


def write_fcos(box, label, cell):
    reach, scores = np.zeros((1, CELLS, 4), np.float32), np.full((1, CELLS, 3), -9, np.float32)
    x, y, stride = grid()[cell]
    reach[0, cell] = np.array(sides(box, x, y, stride)) / stride
    scores[0, cell, label] = logit(0.9)
    return {"boxes": reach, "scores": scores}


def write_fcos_maps(box, label, cell):
    """Write the same as one map per stride, with centerness."""
    flat, out, first = write_fcos(box, label, cell), {}, 0
    middle = np.full((1, CELLS, 1), logit(0.9), np.float32)
    for stride in STRIDES:
        n = SIZE // stride
        for name, values in (*flat.items(), ("centerness", middle)):
            part = values[:, first : first + n * n]
            out[f"{name}_{stride}"] = part.transpose(0, 2, 1).reshape(1, -1, n, n)
        first += n * n
    return out


def write_ssd(box, label, cell):
    priors = prior_boxes(PRIORS, card("ssd").input)
    cell %= len(priors)
    locations, scores = np.zeros((1, len(priors), 4), np.float32), np.zeros((1, len(priors), 4), np.float32)
    scores[..., 0] = 9.0  # background
    px, py, pw, ph = priors[cell].tolist()
    locations[0, cell] = [(box[0] - px) / pw / 0.1, (box[1] - py) / ph / 0.1,
                          math.log(box[2] / pw) / 0.2, math.log(box[3] / ph) / 0.2]  # fmt: skip
    scores[0, cell] = [0, 0, 0, 0]
    scores[0, cell, 1 + label] = 9.0
    return {"locations": locations, "scores": scores}


def write_detr(box, label, cell):
    logits, boxes = np.zeros((1, 10, 4), np.float32), np.zeros((1, 10, 4), np.float32)
    logits[..., 3] = 9.0  # no object
    logits[0, cell % 10] = 0
    logits[0, cell % 10, label] = 9.0
    boxes[0, cell % 10] = np.array(box) / SIZE
    return {"logits": logits, "boxes": boxes}


def write_detections(box, label, cell):
    boxes, scores, classes = np.zeros((1, 10, 4), np.float32), np.zeros((1, 10), np.float32), np.zeros((1, 10))
    boxes[0, cell % 10] = [box[0] - box[2] / 2, box[1] - box[3] / 2, box[0] + box[2] / 2, box[1] + box[3] / 2]
    scores[0, cell % 10], classes[0, cell % 10] = 0.9, label + 1
    return {"boxes": boxes, "scores": scores, "classes": classes}


def write_yolov8(box, label, cell):
    out = np.zeros((1, 7, CELLS), np.float32)
    out[0, :4, cell], out[0, 4 + label, cell] = box, 0.9
    return {"out": out}


def write_yolov8_parts(box, label, cell):
    out = write_yolov8(box, label, cell)["out"]
    out[:, :4] /= SIZE
    return {"out": out}


def write_nms(box, label, cell):
    out = np.zeros((1, 10, 6), np.float32)
    out[0, cell % 10] = [*write_detections(box, label, 0)["boxes"][0, 0], 0.9, label]
    return {"out": out}


HEADS = {
    "yolox": (write_yolox, card("yolox")),
    "fcos": (write_fcos, card("fcos")),
    "fcos by map": (write_fcos_maps, card("fcos")),
    "ssd": (write_ssd, card("ssd", background=0)),
    "detr": (write_detr, card("detr")),
    "detections": (write_detections, card("detections", background=0)),
    "yolov8": (write_yolov8, card("yolov8")),
    "yolov8 in parts": (write_yolov8_parts, card("yolov8", box_units="parts")),
    "nms": (write_nms, card("nms")),
}


@pytest.mark.parametrize("head", HEADS)
@given(
    corner=st.tuples(st.floats(0, 0.7), st.floats(0, 0.7)),
    size=st.tuples(st.floats(0.05, 0.3), st.floats(0.05, 0.3)),
    shape=st.tuples(st.integers(20, 600), st.integers(20, 600)),
    resize=st.sampled_from(["stretch", "letterbox", "letterbox_centre"]),
    label=st.integers(0, 2),
    cell=st.integers(0, CELLS - 1),
)
@settings(max_examples=25, deadline=None)
def test_a_box_in_a_picture_of_any_shape_comes_back_where_it_is(head, corner, size, shape, resize, label, cell):
    write, used = HEADS[head]
    width, height = shape
    used = used.model_copy(update={"input": Input(width=SIZE, height=SIZE, resize=resize)})
    _, placement = place(np.zeros((height, width, 3), np.uint8), used.input)
    wanted = [corner[0] * width, corner[1] * height, size[0] * width, size[1] * height]
    centre = [
        (wanted[0] + wanted[2] / 2) * placement.scale_x + placement.left,
        (wanted[1] + wanted[3] / 2) * placement.scale_y + placement.top,
        wanted[2] * placement.scale_x,
        wanted[3] * placement.scale_y,
    ]
    (found,) = DETECTORS[used.output.decoder](write(centre, label, cell), used)
    (one,) = boxed(used, found, placement)
    assert (one["label"], one["score"] > 0.8) == ("abc"[label], True)
    assert one["box"] == pytest.approx(wanted, abs=0.02 + 2e-4 * max(shape))


def test_a_distribution_over_distances_is_read_by_its_mean():
    bins = np.full((1, CELLS, 4 * 8), -20.0, np.float32)
    bins.reshape(1, CELLS, 4, 8)[0, 0] = [[math.log(p + 1e-9) for p in (0, 0, 0.5, 0.5, 0, 0, 0, 0)]] * 4
    scores = np.full((1, CELLS, 3), -9, np.float32)
    scores[0, 0, 1] = 9
    (found,) = DETECTORS["fcos"]({"boxes": bins, "scores": scores}, card("fcos"))
    assert found.boxes[0].tolist() == pytest.approx([4 - 20, 4 - 20, 4 + 20, 4 + 20], abs=0.01)


def test_detr_with_sigmoids_has_no_class_for_nothing():
    logits, boxes = np.full((1, 2, 3), -9, np.float32), np.full((1, 2, 4), 0.5, np.float32)
    logits[0, 1, 2] = logit(0.8)
    (found,) = DETECTORS["detr"]({"logits": logits, "boxes": boxes}, card("detr", activation="sigmoid"))
    assert (int(found.scores.argmax()), int(found.classes[1])) == (1, 2)
    assert found.scores[1] == pytest.approx(0.8)
    assert found.boxes[1].tolist() == [32, 32, 96, 96]


@pytest.mark.parametrize(
    ("form", "values"),
    [("xyxy", [1, 2, 11, 22]), ("xywh", [1, 2, 10, 20]), ("cxcywh", [6, 12, 10, 20]), ("yxyx", [2, 1, 22, 11])],
)
def test_boxes_are_read_in_the_form_the_card_says(form, values):
    out = {"boxes": np.array([[values]], np.float32), "scores": np.ones((1, 1)), "classes": np.zeros((1, 1))}
    (found,) = DETECTORS["detections"](out, card("detections", box_format=form))
    assert found.boxes.tolist() == [[1, 2, 11, 22]]


def test_a_count_cuts_off_rows_that_were_never_written():
    out = {
        "boxes": np.ones((2, 3, 4), np.float32), "scores": np.ones((2, 3)), "classes": np.ones((2, 3)),
        "count": np.array([[1], [3]]),
    }  # fmt: skip
    assert [len(one.scores) for one in DETECTORS["detections"](out, card("detections"))] == [1, 3]


@pytest.mark.parametrize(
    ("decoder", "outputs", "fault"),
    [
        ("yolox", {"o": np.zeros((1, 7, 8))}, r"7 cells; strides \[8, 16, 32\] make 336"),
        ("yolox", {"o": np.zeros((1, CELLS, 9))}, "4 classes, the card labels 3"),
        ("fcos", {"scores": np.zeros((1, CELLS, 3))}, "no output 'boxes', and none called boxes_8"),
        ("fcos", {"scores": np.zeros((1, CELLS, 3)), "boxes": np.zeros((1, CELLS, 6))}, "does not fit decoder fcos"),
        ("ssd", {"locations": np.zeros((1, 9, 4)), "scores": np.zeros((1, 9, 3))}, "9 boxes, the card's priors 132"),
        ("ssd", {"locations": np.zeros((1, 132, 4)), "scores": np.zeros((1, 132, 5))}, "5 classes"),
        ("detr", {"logits": np.zeros((1, 3, 5)), "boxes": np.zeros((1, 3, 4))}, "5 classes, the card labels 3"),
        ("detr", {"logits": np.zeros((1, 3, 4)), "boxes": np.zeros((1, 2, 4))}, "does not fit decoder detr"),
        ("detections", {"boxes": np.ones((1, 2, 4)), "scores": np.ones((1, 2)), "classes": np.full((1, 2), 7)}, "8 cl"),
        ("detections", {"boxes": np.ones((1, 2, 4)), "scores": np.ones((1, 3))}, "no output 'classes'"),
    ],
)
def test_outputs_of_another_form_than_the_card_says_are_told(decoder, outputs, fault):
    with pytest.raises(ModelError, match=fault):
        DETECTORS[decoder](outputs, card(decoder))


def test_a_background_that_is_not_there_is_told():
    out = {"boxes": np.zeros((1, 1, 4)), "scores": np.zeros((1, 1, 3))}
    with pytest.raises(ModelError, match="no class 7 to leave out"):
        DETECTORS["boxes_scores"](out, card("boxes_scores", background=7))
