"""Proof that two packages of one network tell the same, within a tolerance that is stated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ModelError
from pipeline.models.card import ModelCard
from pipeline.models.loaded import LoadedModel
from pipeline.models.preprocess import prepare
from pipeline.models.shapes import input_shape

#: largest difference of an fp32 output, as part of the largest value of that output, at least 1
SAME_VALUE = 1e-4
#: of quantized copies: pictures whose best finding keeps its label, and how far its score moves on average
MIN_AGREEMENT, MAX_SCORE_DIFFERENCE = 0.95, 0.05
SAMPLES = 16

Pictures = Sequence[NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Equality:
    """What a comparison measured, against its bars; ``equal`` where all are met.

    max_difference: of raw outputs. agreement and score_difference: of findings, where they were compared.
    """

    equal: bool
    samples: int
    max_difference: float
    allowed_difference: float | None
    agreement: float | None = None
    min_agreement: float | None = None
    score_difference: float | None = None
    max_score_difference: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return asdict(self)


def samples(card: ModelCard, count: int = SAMPLES) -> list[NDArray[np.uint8]]:
    """Return made pictures, uint8, (h, w, 3), the same on every machine: fields of colour, from coarse to fine."""
    random = np.random.default_rng(7)
    shape = (card.input.height, card.input.width, 3)
    pictures = []
    for place in range(count):
        cells = 2 ** (1 + place % 5)
        coarse = random.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        fine = np.repeat(np.repeat(coarse, -(-shape[0] // cells), axis=0), -(-shape[1] // cells), axis=1)
        pictures.append(np.ascontiguousarray(fine[: shape[0], : shape[1]]))
    return pictures


def network_input(card: ModelCard, pictures: Pictures) -> NDArray[np.float32]:
    """Return what the network is given for these pictures; noise of the same size for a ``tensors`` card."""
    if card.task != "tensors":
        return prepare(pictures, card.input)[0]
    random = np.random.default_rng(7)
    return random.random((len(pictures), *input_shape(card)), dtype=np.float32)


def same_values(one: LoadedModel, other: LoadedModel, pictures: Pictures) -> Equality:
    """Compare every output of two networks. Raises: ModelError where they have not the same outputs."""
    batch = network_input(one.card, pictures)
    difference, allowed = _difference(one.run(batch), other.run(batch), one.card)
    return Equality(difference <= allowed, len(pictures), difference, allowed)


def same_findings(
    one: LoadedModel,
    other: LoadedModel,
    pictures: Pictures,
    *,
    min_agreement: float = MIN_AGREEMENT,
    max_score_difference: float = MAX_SCORE_DIFFERENCE,
) -> Equality:
    """Compare the best finding on each picture, as a quantized copy can only be nearly equal.

    Of detectors and segmenters only findings count that a job is told (``min_score`` of the card); two pictures without
    one agree. Raises: ModelError.
    """
    batch = network_input(one.card, pictures)
    difference, _ = _difference(one.run(batch), other.run(batch), one.card)
    if one.card.task == "tensors":
        raise ModelError(
            f"{one.card.name}: a quantized copy of a network without findings cannot be judged here",
            advice="Evaluate the pipeline that uses it with the copy.",
        )
    floor = 0.0 if one.card.task == "classify" else one.card.output.min_score
    pairs = [
        (_best(a, floor), _best(b, floor)) for a, b in zip(one.predict(pictures), other.predict(pictures), strict=True)
    ]
    agreement = sum(a[0] == b[0] for a, b in pairs) / len(pairs)
    moved = sum(abs(a[1] - b[1]) for a, b in pairs) / len(pairs)
    return Equality(
        agreement >= min_agreement and moved <= max_score_difference,
        len(pictures),
        difference,
        None,
        round(agreement, 4),
        min_agreement,
        round(moved, 4),
        max_score_difference,
    )


def _best(findings: Sequence[Mapping[str, Any]], floor: float) -> tuple[str | None, float]:
    told = findings and findings[0]["score"] >= floor
    return (findings[0]["label"], float(findings[0]["score"])) if told else (None, 0.0)


def _difference(one: Mapping[str, Any], other: Mapping[str, Any], card: ModelCard) -> tuple[float, float]:
    """Return the largest difference over all outputs, and the difference allowed at the size of their values."""
    if set(one) != set(other) or any(one[name].shape != other[name].shape for name in one):
        raise ModelError(f"{card.name}: the copy has other outputs: {_shapes(other)}, not {_shapes(one)}")
    worst, allowed = 0.0, SAME_VALUE
    for name, values in one.items():
        if not np.isfinite(other[name]).all() or not np.isfinite(values).all():
            return float("inf"), SAME_VALUE
        bar = SAME_VALUE * max(1.0, float(np.abs(values).max(initial=0)))
        difference = float(np.abs(values - other[name]).max(initial=0))
        if difference * allowed >= worst * bar:  # measured by their bars, this one is the worst
            worst, allowed = difference, bar
    return worst, allowed


def _shapes(outputs: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {list(outputs[name].shape)}" for name in sorted(outputs))
