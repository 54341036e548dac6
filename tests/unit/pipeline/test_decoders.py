"""From raw outputs to findings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ModelError
from pipeline.models import decoders
from pipeline.models.card import Input, ModelCard, Output, Weights
from pipeline.models.findings import boxed, labelled
from pipeline.models.outputs import Boxes
from pipeline.models.preprocess import Placement
from pipeline.models.suppression import kept_places, overlap


def card(decoder="yolov8", labels=("a", "b"), size=64, task="detect", **output):
    return ModelCard(
        name="m", task=task, runtime="onnx", weights=Weights(file="m.onnx"), input=Input(width=size, height=size),
        output=Output(decoder=decoder, labels=labels, **output),
    )  # fmt: skip


def floats(values):
    return np.asarray(values, dtype=np.float32)


def logit(p):
    return math.log(p / (1 - p))


def test_yolov8_reads_centres_and_the_best_class():
    raw = floats([[[32, 10], [16, 10], [20, 4], [8, 4], [0.1, 0.6], [0.9, 0.2]]])
    (found,) = decoders.yolov8({"output0": raw}, card())
    assert found.boxes.tolist() == [[22, 12, 42, 20], [8, 8, 12, 12]]
    assert (found.classes.tolist(), found.scores.tolist()) == ([1, 0], pytest.approx([0.9, 0.6]))


def test_yolov5_multiplies_class_by_objectness():
    raw = floats([[[32, 16, 20, 8, 0.5, 0.2, 0.8]]])
    (found,) = decoders.yolov5({"output0": raw}, card("yolov5"))
    assert (found.boxes.tolist(), found.classes.tolist()) == ([[22, 12, 42, 20]], [1])
    assert found.scores.tolist() == pytest.approx([0.4])


def test_fastestdet_reads_a_cell_of_its_map():
    raw = np.full((1, 7, 4, 4), -9.0, dtype=np.float32)
    raw[0, :, 1, 2] = [1.0, 0.0, math.atanh(0.5), logit(0.5), logit(0.25), 0.0, 1.0]
    (found,) = decoders.fastestdet({"758": raw}, card("fastestdet"))
    best = int(found.scores.argmax())
    assert found.scores[best] == pytest.approx(1.0)
    assert found.classes[best] == 1
    assert found.boxes[best].tolist() == pytest.approx([2 * 16 - 16, 1.5 * 16 - 8, 2 * 16 + 16, 1.5 * 16 + 8])


def test_yunet_reads_a_cell_of_a_stride_with_its_landmarks():
    outputs = {}
    for stride in (8, 16, 32):
        cells = (64 // stride) ** 2
        for name, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            outputs[f"{name}_{stride}"] = np.zeros((2, cells, width), dtype=np.float32)
    place = 1 * 4 + 2  # row 1, column 2 of the stride of 16
    outputs["cls_16"][1, place] = 0.81
    outputs["obj_16"][1, place] = 1.0
    outputs["bbox_16"][1, place] = [0.5, 0.5, math.log(2), math.log(1)]
    outputs["kps_16"][1, place] = 0.25
    empty, found = decoders.yunet(outputs, card("yunet", ("face",)))
    best = int(found.scores.argmax())
    assert empty.scores.max() == 0
    assert found.scores[best] == pytest.approx(0.9)
    assert found.boxes[best].tolist() == pytest.approx([40 - 16, 24 - 8, 40 + 16, 24 + 8])
    assert found.points[best].tolist() == pytest.approx(np.array([[36, 20]] * 5))


def test_yunet_of_another_size_than_its_card_is_told():
    names = [f"{name}_{stride}" for stride in (8, 16, 32) for name in ("cls", "obj", "bbox", "kps")]
    outputs = {name: np.zeros((1, 7, 10), np.float32) for name in names}
    with pytest.raises(ModelError, match="stride 8 has 7 cells, expected 64"):
        decoders.yunet(outputs, card("yunet", ("face",)))


def test_boxes_scores_leaves_the_background_out():
    outputs = {"loc": floats([[[0.25, 0.5, 0.5, 1.0]]]), "conf": floats([[[0.7, 0.1, 0.2]]])}
    names = {"boxes": "loc", "scores": "conf"}
    (found,) = decoders.boxes_scores(outputs, card("boxes_scores", names=names, background=0))
    assert found.boxes.tolist() == [[16, 32, 32, 64]]
    assert (found.classes.tolist(), found.scores.tolist()) == ([1], pytest.approx([0.2]))


def test_exports_that_suppress_by_themselves_pad_with_rows_that_are_skipped():
    raw = floats([[[1, 2, 3, 4, 0.9, 1], [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, -1, -1]]])
    (found,) = decoders.nms({"out": raw}, card("nms"))
    assert (found.boxes.tolist(), found.classes.tolist()) == ([[1, 2, 3, 4]], [1])


@pytest.mark.parametrize(
    ("decoder", "raw", "expected"),
    [
        ("softmax", [[0.0, math.log(3)]], [[0.25, 0.75]]),
        ("softmax", [[1000.0, 0.0]], [[1.0, 0.0]]),
        ("sigmoid", [[0.0, logit(0.9)]], [[0.5, 0.9]]),
        ("sigmoid", [[logit(0.9)]], [[0.1, 0.9]]),
        ("probabilities", [[0.3]], [[0.7, 0.3]]),
        ("probabilities", [[0.3, 0.6]], [[0.3, 0.6]]),
        ("probabilities", [[[[0.3]], [[0.6]]]], [[0.3, 0.6]]),
    ],
)
def test_classifiers_give_one_probability_per_label(decoder, raw, expected):
    found = decoders.CLASSIFIERS[decoder]({"x": floats(raw)}, card(decoder, task="classify"))
    assert found.tolist() == pytest.approx(np.array(expected), abs=1e-6)


@pytest.mark.parametrize(
    ("decoder", "outputs", "fault"),
    [
        ("yolov8", {"o": np.zeros((1, 9, 4))}, "5 classes, the card labels 2"),
        ("yolov5", {"o": np.zeros((1, 4, 6))}, "1 classes, the card labels 2"),
        ("yolov8", {"o": np.zeros((1, 9))}, "does not fit decoder yolov8"),
        ("fastestdet", {"o": np.zeros((1, 9))}, "does not fit"),
        ("nms", {"o": np.zeros((1, 3, 7))}, "does not fit"),
        ("nms", {"o": np.array([[[0, 0, 1, 1, 0.5, 7]]])}, "8 classes"),
        ("boxes_scores", {"boxes": np.zeros((1, 3, 4)), "scores": np.zeros((1, 2, 2))}, "does not fit"),
        ("boxes_scores", {"boxes": np.zeros((1, 3, 4))}, "no output 'scores'; the model has boxes"),
        ("yolov8", {"a": np.zeros((1, 6, 1)), "b": np.zeros((1, 6, 1))}, "no output 'output'; the model has a, b"),
    ],
)
def test_outputs_that_do_not_fit_the_card_are_told(decoder, outputs, fault):
    with pytest.raises(ModelError, match=fault):
        decoders.DETECTORS[decoder](outputs, card(decoder))


def test_a_classifier_of_another_size_than_its_labels_is_told():
    with pytest.raises(ModelError, match="3 classes, the card labels 2"):
        decoders.softmax({"x": np.zeros((1, 3))}, card("softmax", task="classify"))


# -- suppression


def found(boxes, scores, classes=None):
    return Boxes(floats(boxes).reshape(-1, 4), floats(scores), np.array(classes or [0] * len(scores), dtype=np.int64))


def kept(boxes, scores, classes=None, **options):
    options = {"score_floor": 0.1, "iou": 0.5, "limit": 10} | options
    boxes = found(boxes, scores, classes)
    return boxes.take(kept_places(boxes, **options))


ALMOST_THE_SAME = [[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]]


def test_of_boxes_that_cover_each_other_the_best_stays():
    assert kept(ALMOST_THE_SAME, [0.5, 0.9, 0.7]).scores.tolist() == pytest.approx([0.9, 0.7])


def test_what_has_no_number_for_a_score_or_a_place_is_no_finding():
    boxes = [[0, 0, 10, 10], [0, 0, np.inf, 10], [20, 20, 30, 30], [40, 40, 50, 50]]
    assert kept(boxes, [np.inf, 0.9, 0.8, np.nan]).scores.tolist() == pytest.approx([0.8])


def test_boxes_of_other_classes_stay_unless_the_card_compares_across_classes():
    assert len(kept(ALMOST_THE_SAME, [0.5, 0.9, 0.7], [0, 1, 0]).scores) == 3
    assert len(kept(ALMOST_THE_SAME, [0.5, 0.9, 0.7], [0, 1, 0], across_classes=True).scores) == 2


def test_low_scores_and_boxes_that_are_no_numbers_are_dropped():
    boxes = [[0, 0, 1, 1], [math.nan, 0, 1, 1], [5, 5, 6, 6]]
    assert kept(boxes, [0.05, 0.9, 0.8]).boxes.tolist() == [[5, 5, 6, 6]]
    assert kept([], []).scores.tolist() == []


@given(
    st.lists(st.tuples(*[st.integers(0, 20)] * 4, st.floats(0, 1), st.integers(0, 2)), max_size=30),
    st.floats(0.1, 0.9),
    st.integers(1, 5),
)
def test_what_stays_is_sorted_apart_and_no_better_box_was_dropped_for_nothing(raw, iou, limit):
    boxes = [[x, y, x + w, y + h] for x, y, w, h, _, _ in raw]
    scores, classes = [one[4] for one in raw], [one[5] for one in raw]
    out = kept(boxes, scores, classes, iou=iou, limit=limit, score_floor=0.2)
    assert len(out.scores) <= limit
    assert out.scores.tolist() == sorted(out.scores.tolist(), reverse=True)
    for place in range(len(out.scores)):
        same = (out.classes == out.classes[place]) & (np.arange(len(out.scores)) != place)
        assert (overlap(out.boxes[place], out.boxes[same]) <= iou + 1e-6).all()
    if raw and max(scores) >= 0.2:
        assert out.scores[0] == np.float32(max(scores))


# -- findings


def test_findings_are_in_picture_pixels_with_labels_and_landmarks():
    raw = found([[8, 8, 24, 40]], [0.91239], [1])
    raw = Boxes(raw.boxes, raw.scores, raw.classes, floats([[[16, 16], [99, 99]]]))
    placement = Placement(scale_x=0.5, scale_y=0.5, left=0, top=8, width=100, height=50)
    assert boxed(card(), raw, placement) == [
        {"label": "b", "score": 0.9124, "box": [16.0, 0.0, 32.0, 50.0], "keypoints": [[32.0, 16.0], [100.0, 50.0]]}
    ]


def test_a_box_in_the_padding_is_no_finding():
    placement = Placement(scale_x=1, scale_y=1, left=0, top=0, width=20, height=10)
    assert boxed(card(), found([[0, 11, 5, 15]], [0.9]), placement) == []


def test_labels_come_best_first_and_ties_in_the_cards_order():
    assert [
        one["label"] for one in labelled(card(labels=("x", "y", "z"), task="classify"), floats([0.2, 0.4, 0.4]))
    ] == ["y", "z", "x"]


def test_a_score_that_is_no_number_is_a_model_error():
    with pytest.raises(ModelError, match="not a number"):
        labelled(card(task="classify"), floats([0.2, math.nan]))
