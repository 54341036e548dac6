"""From a model's raw outputs to findings: a small registry of pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pipeline.errors import ModelError
from pipeline.models.anchor_heads import ssd
from pipeline.models.card import ModelCard
from pipeline.models.grid_heads import fcos, yolox
from pipeline.models.mask_heads import Regions, instances, semantic, yolov5_seg, yolov8_seg
from pipeline.models.outputs import (
    Boxes,
    Floats,
    Outputs,
    cells,
    corners,
    each,
    expect,
    expect_classes,
    named,
    only,
    sigmoid,
    softmaxed,
    without_background,
)
from pipeline.models.set_heads import detections, detr, nms


def yunet(outputs: Outputs, card: ModelCard) -> list[Boxes]:
    """Read YuNet: twelve tensors, strides 8, 16, 32, one row per grid cell; faces with five landmarks."""
    parts = [_yunet_stride(outputs, card, stride) for stride in (8, 16, 32)]
    boxes, scores, points = (np.concatenate(one, axis=1) for one in zip(*parts, strict=True))
    return [Boxes(boxes[n], scores[n], np.zeros(len(scores[n]), dtype=np.int64), points[n]) for n in range(len(scores))]


def _yunet_stride(outputs: Outputs, card: ModelCard, stride: int) -> tuple[Floats, Floats, Floats]:
    cls, obj, box, kps = (named(outputs, card, f"{name}_{stride}") for name in ("cls", "obj", "bbox", "kps"))
    rows, columns = card.input.height // stride, card.input.width // stride
    if cls.shape[1] != rows * columns:
        raise ModelError(f"{card.name}: stride {stride} has {cls.shape[1]} cells, expected {rows * columns}")
    grid = cells(rows, columns)
    centre = (grid + box[:, :, :2]) * stride
    size = np.exp(box[:, :, 2:4]) * stride
    points = (grid[:, :, None] + kps.reshape(*kps.shape[:2], 5, 2)) * stride
    scores = np.sqrt(np.clip(cls[:, :, 0], 0, 1) * np.clip(obj[:, :, 0], 0, 1))
    return np.concatenate([centre - size / 2, centre + size / 2], axis=2), scores, points


def fastestdet(outputs: Outputs, card: ModelCard) -> list[Boxes]:
    """Read FastestDet: one map (n, 5 + classes, rows, columns); score = objectness^0.6 x class^0.4."""
    maps = only(outputs, card)
    expect(card, maps.ndim == 4, maps)
    rows, columns = maps.shape[2:]
    values = maps.reshape(len(maps), maps.shape[1], -1).transpose(0, 2, 1)
    expect_classes(card, values.shape[2] - 5)
    scale = np.array([card.input.width, card.input.height], dtype=np.float32)
    centre = (cells(rows, columns) + np.tanh(values[:, :, 1:3])) / np.array([columns, rows]) * scale
    size = sigmoid(values[:, :, 3:5]) * scale
    scores = np.clip(values[:, :, :1], 0, 1) ** 0.6 * np.clip(values[:, :, 5:], 0, 1) ** 0.4
    return each(np.concatenate([centre - size / 2, centre + size / 2], axis=2), scores)


def yolov5(outputs: Outputs, card: ModelCard) -> list[Boxes]:
    """Read (n, anchors, 5 + classes): centre x, y, width, height in input pixels, objectness, class scores."""
    rows = only(outputs, card)
    expect(card, rows.ndim == 3, rows)
    expect_classes(card, rows.shape[2] - 5)
    return each(corners(rows[:, :, :4], card, "cxcywh", "pixels"), rows[:, :, 5:] * rows[:, :, 4:5])


def yolov8(outputs: Outputs, card: ModelCard) -> list[Boxes]:
    """Read (n, 4 + classes, anchors): centre x, y, width, height in input pixels, class scores."""
    maps = only(outputs, card)
    expect(card, maps.ndim == 3, maps)
    rows = maps.transpose(0, 2, 1)
    expect_classes(card, rows.shape[2] - 4)
    return each(corners(rows[:, :, :4], card, "cxcywh", "pixels"), rows[:, :, 4:])


def boxes_scores(outputs: Outputs, card: ModelCard) -> list[Boxes]:
    """Read ``boxes`` (n, k, 4), x1 y1 x2 y2 as parts of width and height, and ``scores`` (n, k, classes)."""
    boxes, scores = named(outputs, card, "boxes"), named(outputs, card, "scores")
    expect(card, boxes.ndim == 3 and boxes.shape[2] == 4, boxes)
    expect(card, scores.ndim == 3 and scores.shape[1] == boxes.shape[1], scores)
    return each(corners(boxes, card, "xyxy", "parts"), without_background(scores, card))


def softmax(outputs: Outputs, card: ModelCard) -> Floats:
    """Read logits (n, classes) of which one is right."""
    return softmaxed(_scores(outputs, card), 1)


def sigmoid_each(outputs: Outputs, card: ModelCard) -> Floats:
    """Read logits (n, classes) of which each may be right; a single one with two labels speaks for the second."""
    return _both_sides(sigmoid(_scores(outputs, card)), card)


def probabilities(outputs: Outputs, card: ModelCard) -> Floats:
    """Read values that are probabilities already; a single one with two labels speaks for the second."""
    return _both_sides(np.clip(_scores(outputs, card), 0, 1), card)


def _scores(outputs: Outputs, card: ModelCard) -> Floats:
    raw = only(outputs, card)
    values = raw.reshape(len(raw), -1)
    single = card.output.decoder != "softmax" and values.shape[1] == 1 and len(card.output.labels) == 2
    if not single:
        expect_classes(card, values.shape[1])
    return values


def _both_sides(values: Floats, card: ModelCard) -> Floats:
    if values.shape[1] == 1 and len(card.output.labels) == 2:
        return np.concatenate([1 - values, values], axis=1)
    return values


#: decoders by task and the name a card gives
DETECTORS: Mapping[str, Callable[[Outputs, ModelCard], list[Boxes]]] = {
    "yunet": yunet,
    "fastestdet": fastestdet,
    "yolov5": yolov5,
    "yolov8": yolov8,
    "yolox": yolox,
    "fcos": fcos,
    "ssd": ssd,
    "detr": detr,
    "boxes_scores": boxes_scores,
    "detections": detections,
    "nms": nms,
}
CLASSIFIERS: Mapping[str, Callable[[Outputs, ModelCard], Floats]] = {
    "softmax": softmax,
    "sigmoid": sigmoid_each,
    "probabilities": probabilities,
}
SEGMENTERS: Mapping[str, Callable[[Outputs, ModelCard], list[Regions]]] = {
    "yolov5_seg": yolov5_seg,
    "yolov8_seg": yolov8_seg,
    "instances": instances,
    "semantic": semantic,
}
