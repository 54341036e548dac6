"""From a model's raw outputs to findings: a small registry of pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ModelError
from pipeline.models.card import ModelCard

Floats = NDArray[np.float32]
#: a model's outputs by name, batch axis first
Outputs = Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class Boxes:
    """What a detector says of one picture, before suppression, in pixels of the model's input.

    boxes: float32, (n, 4), x1 y1 x2 y2. scores: float32, (n,). classes: int64, (n,), places in the labels.
    points: float32, (n, k, 2), or None where the model gives no keypoints.
    """

    boxes: Floats
    scores: Floats
    classes: NDArray[np.int64]
    points: Floats | None = None

    def take(self, places: NDArray[np.int64]) -> Boxes:
        """Return the findings at these places."""
        points = None if self.points is None else self.points[places]
        return Boxes(self.boxes[places], self.scores[places], self.classes[places], points)


def yunet(outputs: Outputs, card: ModelCard) -> list[Boxes]:
    """Read YuNet: twelve tensors, strides 8, 16, 32, one row per grid cell; faces with five landmarks."""
    parts = [_yunet_stride(outputs, card, stride) for stride in (8, 16, 32)]
    boxes, scores, points = (np.concatenate(one, axis=1) for one in zip(*parts, strict=True))
    return [Boxes(boxes[n], scores[n], np.zeros(len(scores[n]), dtype=np.int64), points[n]) for n in range(len(scores))]


def _yunet_stride(outputs: Outputs, card: ModelCard, stride: int) -> tuple[Floats, Floats, Floats]:
    cls, obj, box, kps = (_output(outputs, card, f"{name}_{stride}") for name in ("cls", "obj", "bbox", "kps"))
    rows, columns = card.input.height // stride, card.input.width // stride
    if cls.shape[1] != rows * columns:
        raise ModelError(f"{card.name}: stride {stride} has {cls.shape[1]} cells, expected {rows * columns}")
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(1, -1, 2).astype(np.float32)
    centre = (grid + box[:, :, :2]) * stride
    size = np.exp(box[:, :, 2:4]) * stride
    points = (grid[:, :, None] + kps.reshape(*kps.shape[:2], 5, 2)) * stride
    scores = np.sqrt(np.clip(cls[:, :, 0], 0, 1) * np.clip(obj[:, :, 0], 0, 1))
    return np.concatenate([centre - size / 2, centre + size / 2], axis=2), scores, points


def fastestdet(outputs: Outputs, card: ModelCard) -> list[Boxes]:
    """Read FastestDet: one map (n, 5 + classes, rows, columns); score = objectness^0.6 x class^0.4."""
    maps = _only(outputs, card)
    _expect(card, maps.ndim == 4, maps)
    rows, columns = maps.shape[2:]
    cells = maps.reshape(len(maps), maps.shape[1], -1).transpose(0, 2, 1)
    _classes(card, cells.shape[2] - 5)
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(1, -1, 2)
    scale = np.array([card.input.width, card.input.height], dtype=np.float32)
    centre = (grid + np.tanh(cells[:, :, 1:3])) / np.array([columns, rows]) * scale
    size = _sigmoid(cells[:, :, 3:5]) * scale
    best = cells[:, :, 5:].max(axis=2)
    scores = np.clip(cells[:, :, 0], 0, 1) ** 0.6 * np.clip(best, 0, 1) ** 0.4
    boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=2)
    return _each(boxes, scores, cells[:, :, 5:].argmax(axis=2))


def yolov5(outputs: Outputs, card: ModelCard) -> list[Boxes]:
    """Read (n, anchors, 5 + classes): centre x, y, width, height in input pixels, objectness, class scores."""
    cells = _only(outputs, card)
    _expect(card, cells.ndim == 3, cells)
    _classes(card, cells.shape[2] - 5)
    scores = cells[:, :, 5:] * cells[:, :, 4:5]
    return _each(_corners(cells[:, :, :4]), scores.max(axis=2), scores.argmax(axis=2))


def yolov8(outputs: Outputs, card: ModelCard) -> list[Boxes]:
    """Read (n, 4 + classes, anchors): centre x, y, width, height in input pixels, class scores."""
    maps = _only(outputs, card)
    _expect(card, maps.ndim == 3, maps)
    cells = maps.transpose(0, 2, 1)
    _classes(card, cells.shape[2] - 4)
    return _each(_corners(cells[:, :, :4]), cells[:, :, 4:].max(axis=2), cells[:, :, 4:].argmax(axis=2))


def boxes_scores(outputs: Outputs, card: ModelCard) -> list[Boxes]:
    """Read ``boxes`` (n, k, 4), x1 y1 x2 y2 as parts of width and height, and ``scores`` (n, k, classes)."""
    boxes, scores = _output(outputs, card, "boxes"), _output(outputs, card, "scores")
    _expect(card, boxes.ndim == 3 and boxes.shape[2] == 4, boxes)
    _expect(card, scores.ndim == 3 and scores.shape[1] == boxes.shape[1], scores)
    if card.output.background is not None:
        scores = np.delete(scores, card.output.background, axis=2)
    _classes(card, scores.shape[2])
    scale = np.tile(np.array([card.input.width, card.input.height], dtype=np.float32), 2)
    return _each(boxes * scale, scores.max(axis=2), scores.argmax(axis=2))


def nms(outputs: Outputs, card: ModelCard) -> list[Boxes]:
    """Read (n, k, 6) of exports that suppress by themselves: x1 y1 x2 y2 in input pixels, score, class."""
    rows = _only(outputs, card)
    _expect(card, rows.ndim == 3 and rows.shape[2] == 6, rows)
    found = []
    for one in rows:
        kept = one[(one[:, 4] > 0) & (one[:, 5] >= 0)]  # unused rows are filled with 0 or -1
        classes = kept[:, 5].astype(np.int64)
        if classes.size and classes.max() >= len(card.output.labels):
            _classes(card, int(classes.max()) + 1)
        found.append(Boxes(kept[:, :4], kept[:, 4], classes))
    return found


def softmax(outputs: Outputs, card: ModelCard) -> Floats:
    """Read logits (n, classes) of which one is right."""
    logits = _scores(outputs, card)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


def sigmoid(outputs: Outputs, card: ModelCard) -> Floats:
    """Read logits (n, classes) of which each may be right; a single one with two labels speaks for the second."""
    return _both_sides(_sigmoid(_scores(outputs, card)), card)


def probabilities(outputs: Outputs, card: ModelCard) -> Floats:
    """Read values that are probabilities already; a single one with two labels speaks for the second."""
    return _both_sides(np.clip(_scores(outputs, card), 0, 1), card)


#: decoders of detectors and of classifiers, by the name a card gives
DETECTORS: Mapping[str, Callable[[Outputs, ModelCard], list[Boxes]]] = {
    "yunet": yunet,
    "fastestdet": fastestdet,
    "yolov5": yolov5,
    "yolov8": yolov8,
    "boxes_scores": boxes_scores,
    "nms": nms,
}
CLASSIFIERS: Mapping[str, Callable[[Outputs, ModelCard], Floats]] = {
    "softmax": softmax,
    "sigmoid": sigmoid,
    "probabilities": probabilities,
}


def _output(outputs: Outputs, card: ModelCard, name: str) -> Floats:
    wanted = card.output.names.get(name, name)
    if wanted not in outputs:
        raise ModelError(f"{card.name}: no output {wanted!r}; the model has {', '.join(sorted(outputs))}")
    return outputs[wanted]


def _only(outputs: Outputs, card: ModelCard) -> Floats:
    if len(outputs) == 1:
        return next(iter(outputs.values()))
    return _output(outputs, card, "output")


def _scores(outputs: Outputs, card: ModelCard) -> Floats:
    raw = _only(outputs, card)
    values = raw.reshape(len(raw), -1)
    if not (values.shape[1] == 1 and len(card.output.labels) == 2):
        _classes(card, values.shape[1])
    return values


def _both_sides(values: Floats, card: ModelCard) -> Floats:
    if values.shape[1] == 1 and len(card.output.labels) == 2:
        return np.concatenate([1 - values, values], axis=1)
    return values


def _each(boxes: Floats, scores: Floats, classes: NDArray[np.int64]) -> list[Boxes]:
    return [Boxes(boxes[n].astype(np.float32), scores[n], classes[n].astype(np.int64)) for n in range(len(boxes))]


def _corners(centred: Floats) -> Floats:
    half = centred[:, :, 2:4] / 2
    return np.concatenate([centred[:, :, :2] - half, centred[:, :, :2] + half], axis=2)


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -60, 60))), dtype=np.float32)


def _expect(card: ModelCard, fits: bool, found: Floats) -> None:
    if not fits:
        raise ModelError(f"{card.name}: an output of shape {found.shape} does not fit decoder {card.output.decoder}")


def _classes(card: ModelCard, count: int) -> None:
    if count != len(card.output.labels):
        raise ModelError(f"{card.name}: the model tells {count} classes, the card labels {len(card.output.labels)}")
