"""Heads that tell which pixels: YOLO's prototypes, Mask R-CNN's instances, and class maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ModelError
from pipeline.models.card import ModelCard
from pipeline.models.outputs import (
    Boxes,
    Floats,
    Outputs,
    activated,
    corners,
    expect,
    expect_classes,
    named,
    sigmoid,
)
from pipeline.models.set_heads import telling, told

#: pieces of a class map smaller than this part of it are noise
MIN_PART = 1e-4
#: of a label's pieces only so many are kept, the largest
MAX_PIECES = 100


@dataclass(frozen=True, slots=True)
class Patch:
    """How likely each pixel belongs to a finding: float32, (h, w), 0-1, stretched over ``area`` of the model's input.

    area: x1, y1, x2, y2 in input pixels.
    """

    values: Floats
    area: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Regions:
    """What a segmenter says of one picture: boxes, and the mask of the box at a place, made only when it is asked."""

    boxes: Boxes
    patch: Callable[[int], Patch]


def yolov8_seg(outputs: Outputs, card: ModelCard) -> list[Regions]:
    """Read (n, 4 + classes + k, anchors) and prototypes (n, k, rows, columns): mask = sigmoid(k factors x prototypes).

    The form of YOLOv8-seg and YOLO11-seg exports (after Bolya et al. 2019, "YOLACT").
    """
    rows, prototypes = _rows_and_prototypes(outputs, card)
    return _prototyped(rows.transpose(0, 2, 1), prototypes, card, objectness=False)


def yolov5_seg(outputs: Outputs, card: ModelCard) -> list[Regions]:
    """Read (n, anchors, 5 + classes + k) and prototypes (n, k, rows, columns), as yolov8_seg with objectness."""
    rows, prototypes = _rows_and_prototypes(outputs, card)
    return _prototyped(rows, prototypes, card, objectness=True)


def instances(outputs: Outputs, card: ModelCard) -> list[Regions]:
    """Read ``boxes`` (n, k, 4), ``scores`` and ``classes`` (n, k), ``masks`` (n, k, rows, columns), values 0-1.

    The form of Mask R-CNN exports; ``masks`` of the card says whether a mask covers the picture or its box.
    """
    boxes, scores, classes, masks = (named(outputs, card, name) for name in ("boxes", "scores", "classes", "masks"))
    masks = masks[:, :, 0] if masks.ndim == 5 and masks.shape[2] == 1 else masks
    expect(card, boxes.ndim == 3 and boxes.shape[2] == 4, boxes)
    expect(card, scores.shape == boxes.shape[:2], scores)
    expect(card, classes.shape == scores.shape, classes)
    expect(card, masks.ndim == 4 and masks.shape[:2] == scores.shape, masks)
    found = []
    for n in range(len(boxes)):
        kept = telling(card, scores[n], classes[n])
        one = told(card, boxes[n][kept], scores[n][kept], classes[n][kept], ("xyxy", "pixels"))
        found.append(Regions(one, _instance(masks[n][kept], one.boxes, card)))
    return found


def semantic(outputs: Outputs, card: ModelCard) -> list[Regions]:
    """Read a class map over the whole input: (n, classes, rows, columns), or class numbers with activation "classes".

    Softmax over the classes unless ``activation`` says otherwise; a single map with one label is a sigmoid of that
    label. A finding per label, or per connected piece with ``split_parts``; score = mean probability inside.
    """
    if len(outputs) != 1 and "output" not in card.output.names:
        raise ModelError(f"{card.name}: the model has several outputs; say which by names = {{ output = ... }}")
    raw = next(iter(outputs.values())) if len(outputs) == 1 else named(outputs, card, "output")
    return [_mapped(one, card) for one in _class_scores(raw, card)]


def _rows_and_prototypes(outputs: Outputs, card: ModelCard) -> tuple[Floats, Floats]:
    rows = [one for one in outputs.values() if one.ndim == 3]
    maps = [one for one in outputs.values() if one.ndim == 4]
    if len(rows) == 1 and len(maps) == 1:
        return rows[0], maps[0]
    return named(outputs, card, "rows"), named(outputs, card, "prototypes")


def _prototyped(rows: Floats, prototypes: Floats, card: ModelCard, *, objectness: bool) -> list[Regions]:
    expect(card, rows.ndim == 3, rows)
    expect(card, prototypes.ndim == 4, prototypes)
    first = 5 if objectness else 4
    last = rows.shape[2] - prototypes.shape[1]
    expect_classes(card, last - first)
    scores = rows[:, :, first:last] * (rows[:, :, 4:5] if objectness else np.float32(1))
    boxes = corners(rows[:, :, :4], card, "cxcywh", "pixels")
    found = []
    for n in range(len(rows)):
        best = Boxes(boxes[n], scores[n].max(axis=1), scores[n].argmax(axis=1).astype(np.int64))
        found.append(Regions(best, _product(rows[n, :, last:], prototypes[n], card)))
    return found


def _product(factors: Floats, prototypes: Floats, card: ModelCard) -> Callable[[int], Patch]:
    area = (0.0, 0.0, float(card.input.width), float(card.input.height))

    def patch(place: int) -> Patch:
        return Patch(sigmoid(np.tensordot(factors[place], prototypes, axes=1)), area)

    return patch


def _instance(masks: Floats, boxes: Floats, card: ModelCard) -> Callable[[int], Patch]:
    def patch(place: int) -> Patch:
        whole = (0.0, 0.0, float(card.input.width), float(card.input.height))
        x1, y1, x2, y2 = boxes[place].tolist()
        return Patch(np.clip(masks[place], 0, 1), (x1, y1, x2, y2) if card.output.masks == "box" else whole)

    return patch


def _class_scores(raw: Floats, card: ModelCard) -> Floats:
    """Return (n, classes, rows, columns) with the background still in."""
    count = len(card.output.labels) + (card.output.background is not None)
    if card.output.activation == "classes":
        numbers = raw[:, 0] if raw.ndim == 4 and raw.shape[1] == 1 else raw
        expect(card, numbers.ndim == 3, raw)
        highest = int(numbers.max(initial=0))
        if highest >= count:
            raise ModelError(f"{card.name}: the model tells class {highest}, the card knows {count}")
        return np.asarray(numbers[:, None] == np.arange(count)[:, None, None], dtype=np.float32)
    expect(card, raw.ndim == 4, raw)
    if raw.shape[1] != count:
        raise ModelError(f"{card.name}: the model tells {raw.shape[1]} classes, the card {count} with the background")
    return activated(raw, card, "sigmoid" if count == 1 else "softmax", axis=1)


def _mapped(scores: Floats, card: ModelCard) -> Regions:
    """Return the regions of one picture's class scores, (classes, rows, columns)."""
    background = card.output.background
    numbers = [place for place in range(len(scores)) if place != background]
    winner = scores.argmax(axis=0) if len(scores) > 1 else np.where(scores[0] >= 0.5, 0, -1)
    pieces: list[tuple[int, NDArray[np.bool_]]] = []
    for label, number in enumerate(numbers):
        pieces += [(label, piece) for piece in _pieces(winner == number, split=card.output.split_parts)]
    if card.output.split_parts:
        pieces = sorted(pieces, key=lambda piece: -int(piece[1].sum()))[: card.output.max_findings]
    means = [float(scores[numbers[label]][piece].mean()) for label, piece in pieces]
    area = (0.0, 0.0, float(card.input.width), float(card.input.height))
    return Regions(
        Boxes(
            np.array([_around(piece, area) for _, piece in pieces], dtype=np.float32).reshape(-1, 4),
            np.array(means, dtype=np.float32),
            np.array([label for label, _ in pieces], dtype=np.int64),
        ),
        lambda place: Patch(pieces[place][1].astype(np.float32), area),
    )


def _pieces(mask: NDArray[np.bool_], *, split: bool) -> list[NDArray[np.bool_]]:
    least = max(1.0, MIN_PART * mask.size)
    if not split:
        return [mask] if mask.sum() >= least else []
    _, marks, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    sizes = facts[1:, cv2.CC_STAT_AREA]
    largest = np.argsort(-sizes, kind="stable")[:MAX_PIECES]
    return [np.asarray(marks == number + 1) for number in largest if sizes[number] >= least]


def _around(piece: NDArray[np.bool_], area: tuple[float, float, float, float]) -> list[float]:
    rows, columns = np.flatnonzero(piece.any(axis=1)), np.flatnonzero(piece.any(axis=0))
    across, down = area[2] / piece.shape[1], area[3] / piece.shape[0]
    return [columns[0] * across, rows[0] * down, (columns[-1] + 1) * across, (rows[-1] + 1) * down]
