"""What decoders share: outputs by name, activations, and boxes brought to one form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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


def named(outputs: Outputs, card: ModelCard, name: str) -> Floats:
    """Return the output that the decoder calls ``name``, whatever the model calls it. Raises: ModelError."""
    found = optional(outputs, card, name)
    if found is None:
        wanted = card.output.names.get(name, name)
        raise ModelError(f"{card.name}: no output {wanted!r}; the model has {', '.join(sorted(outputs))}")
    return found


def optional(outputs: Outputs, card: ModelCard, name: str) -> Floats | None:
    """Return the output of this name, None where the model has none."""
    return outputs.get(card.output.names.get(name, name))


def only(outputs: Outputs, card: ModelCard) -> Floats:
    """Return a model's only output; of several the one that the card calls ``output``. Raises: ModelError."""
    if len(outputs) == 1:
        return next(iter(outputs.values()))
    return named(outputs, card, "output")


def expect(card: ModelCard, fits: bool, found: Floats) -> None:
    """Raise ModelError where an output has not the form that the decoder reads."""
    if not fits:
        raise ModelError(f"{card.name}: an output of shape {found.shape} does not fit decoder {card.output.decoder}")


def expect_classes(card: ModelCard, count: int) -> None:
    """Raise ModelError where the model tells another number of classes than the card has labels."""
    if count != len(card.output.labels):
        raise ModelError(f"{card.name}: the model tells {count} classes, the card labels {len(card.output.labels)}")


def activated(values: Floats, card: ModelCard, default: str, axis: int = -1) -> Floats:
    """Return scores 0-1 of raw values: the card's ``activation``, else the decoder's own."""
    wanted = card.output.activation or default
    if wanted == "sigmoid":
        return sigmoid(values)
    if wanted == "softmax":
        return softmaxed(values, axis)
    return np.clip(values, 0, 1)


def sigmoid(values: Floats) -> Floats:
    """Return 1 / (1 + e^-x)."""
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -60, 60))), dtype=np.float32)


def softmaxed(values: Floats, axis: int) -> Floats:
    """Return e^x over its sum along ``axis``."""
    powers = np.exp(values - values.max(axis=axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True), dtype=np.float32)


def without_background(scores: Floats, card: ModelCard) -> Floats:
    """Return scores (n, k, classes) with the card's background class left out. Raises: ModelError."""
    background = card.output.background
    if background is not None:
        if background >= scores.shape[2]:
            raise ModelError(f"{card.name}: there is no class {background} to leave out, only {scores.shape[2]}")
        scores = np.delete(scores, background, axis=2)
    expect_classes(card, scores.shape[2])
    return scores


def corners(boxes: Floats, card: ModelCard, form: str, units: str) -> Floats:
    """Return boxes (..., 4) as x1 y1 x2 y2 in input pixels.

    form and units: what the decoder takes them for where the card does not say (``box_format``, ``box_units``).
    """
    form, units = card.output.box_format or form, card.output.box_units or units
    first: NDArray[Any] = boxes[..., :2]
    second: NDArray[Any] = boxes[..., 2:4]
    if form == "yxyx":
        first, second = first[..., ::-1], second[..., ::-1]
    elif form == "xywh":
        second = first + second
    elif form == "cxcywh":
        first, second = first - second / 2, first + second / 2
    sides = [card.input.width, card.input.height] if units == "parts" else [1, 1]
    return np.asarray(np.concatenate([first, second], axis=-1) * np.tile(sides, 2), dtype=np.float32)


def each(boxes: Floats, scores: Floats) -> list[Boxes]:
    """Return one Boxes per picture: boxes (n, k, 4) and scores (n, k, classes), of which the best class counts."""
    best, classes = scores.max(axis=2), scores.argmax(axis=2)
    return [
        Boxes(boxes[n].astype(np.float32), best[n].astype(np.float32), classes[n].astype(np.int64))
        for n in range(len(boxes))
    ]


def cells(rows: int, columns: int) -> Floats:
    """Return x and y of each cell of a grid, row by row: float32, (1, rows x columns, 2)."""
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1)
    return grid.reshape(1, -1, 2).astype(np.float32)
