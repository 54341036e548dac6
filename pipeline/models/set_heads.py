"""Heads that tell a set of findings: end-to-end exports with suppression inside, and DETR."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.models.card import ModelCard
from pipeline.models.outputs import (
    Boxes,
    Floats,
    Outputs,
    activated,
    corners,
    each,
    expect,
    expect_classes,
    named,
    only,
    optional,
    without_background,
)


def nms(outputs: Outputs, card: ModelCard) -> list[Boxes]:
    """Read (n, k, 6) of exports that suppress by themselves: x1 y1 x2 y2 in input pixels, score, class."""
    rows = only(outputs, card)
    expect(card, rows.ndim == 3 and rows.shape[2] == 6, rows)
    kept = [one[telling(card, one[:, 4], one[:, 5])] for one in rows]
    return [told(card, one[:, :4], one[:, 4], one[:, 5], ("xyxy", "pixels")) for one in kept]


def detections(outputs: Outputs, card: ModelCard) -> list[Boxes]:
    """Read ``boxes`` (n, k, 4), ``scores`` (n, k), ``classes`` (n, k) and, where there is one, ``count`` (n).

    What TensorRT's EfficientNMS, the TensorFlow detection API and torchvision's detectors give. Boxes are x1 y1 x2 y2
    in input pixels unless ``box_format`` and ``box_units`` say otherwise.
    """
    boxes, scores, classes = (named(outputs, card, name) for name in ("boxes", "scores", "classes"))
    expect(card, boxes.ndim == 3 and boxes.shape[2] == 4, boxes)
    expect(card, scores.shape[:2] == boxes.shape[:2] and scores.ndim == 2, scores)
    expect(card, classes.shape == scores.shape, classes)
    counts = optional(outputs, card, "count")
    ends = (
        [boxes.shape[1]] * len(boxes) if counts is None else [int(one) for one in counts.reshape(len(boxes), -1)[:, 0]]
    )
    found = []
    for n, end in enumerate(ends):
        kept = telling(card, scores[n], classes[n]) & (np.arange(boxes.shape[1]) < end)
        found.append(told(card, boxes[n][kept], scores[n][kept], classes[n][kept], ("xyxy", "pixels")))
    return found


def detr(outputs: Outputs, card: ModelCard) -> list[Boxes]:
    """Read ``logits`` (n, queries, classes) and ``boxes`` (n, queries, 4): centre x, y, width, height as parts.

    Softmax with the class ``background`` for "no object", the last one unless the card says otherwise (Carion et al.
    2020, "End-to-End Object Detection with Transformers"); with ``activation = "sigmoid"`` each class stands for
    itself and there is none (Deformable DETR, RT-DETR).
    """
    logits, boxes = named(outputs, card, "logits"), named(outputs, card, "boxes")
    expect(card, boxes.ndim == 3 and boxes.shape[2] == 4, boxes)
    expect(card, logits.ndim == 3 and logits.shape[1] == boxes.shape[1], logits)
    scores = activated(logits, card, "softmax")
    if card.output.background is None and scores.shape[2] == len(card.output.labels) + 1:
        scores = scores[:, :, :-1]
    return each(corners(boxes, card, "cxcywh", "parts"), without_background(scores, card))


def telling(card: ModelCard, scores: Floats, classes: Floats) -> NDArray[np.bool_]:
    """Return which rows of a picture tell something: unused ones are filled with 0 or -1, or say background."""
    background = card.output.background
    return np.asarray((scores > 0) & (classes >= 0) & (classes != (-1 if background is None else background)))


def told(card: ModelCard, boxes: Floats, scores: Floats, classes: Floats, defaults: tuple[str, str]) -> Boxes:
    """Return rows (k, 4), (k,), (k,) of one picture as Boxes, classes counted without the background.

    defaults: box format and units where the card does not say. Raises: ModelError.
    """
    numbers = classes.astype(np.int64)
    if card.output.background is not None:
        numbers = numbers - (numbers > card.output.background)
    if numbers.size and numbers.max() >= len(card.output.labels):
        expect_classes(card, int(numbers.max()) + 1)
    return Boxes(corners(boxes, card, *defaults), scores.astype(np.float32), numbers)
