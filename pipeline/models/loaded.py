"""A loaded model: prepare, run and decode as the card says, whatever the runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.device import own_error
from pipeline.errors import ModelError
from pipeline.models.card import ModelCard
from pipeline.models.decoders import CLASSIFIERS, DETECTORS, Boxes, Outputs
from pipeline.models.preprocess import Placement, prepare
from pipeline.models.suppression import suppress


class Forward(Protocol):
    """The runtime's side: one call through the network."""

    #: the only batch size the export takes; None where any will do
    fixed_batch: int | None

    def __call__(self, batch: NDArray[np.float32]) -> Outputs:
        """Run one batch; outputs by name as float32, batch axis first. May raise whatever the runtime raises."""

    def close(self) -> None:
        """Free memory."""


class LoadedModel:
    """The Model of ``models.base`` over any runtime."""

    def __init__(self, card: ModelCard, forward: Forward) -> None:
        self.card = card
        self._forward = forward

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> list[list[dict[str, Any]]]:
        """Return the findings of each image; at most ``max_batch`` go through the network at once.

        Raises: DeviceOutOfMemory, ModelError.
        """
        size = self._forward.fixed_batch or self.card.max_batch
        found: list[list[dict[str, Any]]] = []
        for first in range(0, len(images), size):
            found.extend(self._chunk(images[first : first + size]))
        return found

    def run(self, batch: NDArray[np.float32]) -> Outputs:
        """Run the network as it is, in pieces of at most ``max_batch``; outputs by name, batch axis first.

        Raises: DeviceOutOfMemory, ModelError.
        """
        size = self._forward.fixed_batch or self.card.max_batch
        pieces = [self._call(batch[first : first + size]) for first in range(0, len(batch), size)]
        if not pieces:
            raise ModelError(f"{self.card.name}: an empty batch")
        last = pieces[-1]
        return {
            name: np.concatenate([piece[name] for piece in pieces]) if values.ndim else values
            for name, values in last.items()
        }

    def close(self) -> None:
        """Free device memory."""
        self._forward.close()

    def _chunk(self, images: Sequence[NDArray[np.uint8]]) -> list[list[dict[str, Any]]]:
        batch, placements = prepare(images, self.card.input)
        outputs = self._call(batch)
        if self.card.task == "detect":
            boxes = DETECTORS[self.card.output.decoder](outputs, self.card)
            return [boxed(self.card, one, where) for one, where in zip(boxes, placements, strict=True)]
        if self.card.task == "classify":
            scores = CLASSIFIERS[self.card.output.decoder](outputs, self.card)
            return [labelled(self.card, one) for one in scores]
        raise ModelError(f"{self.card.name} is a {self.card.task} model: it tells no findings")

    def _call(self, batch: NDArray[np.float32]) -> Outputs:
        """Run one piece, filled up where the export takes only one size; the filling is cut off again."""
        wanted = len(batch)
        missing = (self._forward.fixed_batch or 0) - wanted
        if missing > 0:
            batch = np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), dtype=np.float32)])
        try:
            outputs = self._forward(batch)
        except Exception as error:
            raise own_error(error, f"{self.card.name} failed") from error
        if any(len(values) != len(batch) for values in outputs.values() if values.ndim):
            raise ModelError(f"{self.card.name}: an output does not hold one entry per picture")
        return {name: values[:wanted] if values.ndim else values for name, values in outputs.items()}


def boxed(card: ModelCard, found: Boxes, placement: Placement) -> list[dict[str, Any]]:
    """Return a detector's findings in pixels of the picture, best first."""
    output = card.output
    kept = suppress(
        found,
        score_floor=output.score_floor,
        iou=output.nms_iou,
        limit=output.max_findings,
        across_classes=output.nms_across_classes,
    )
    corners = placement.to_picture(kept.boxes.reshape(-1, 2, 2))
    points = None if kept.points is None else placement.to_picture(kept.points)
    findings = []
    for place in range(len(kept.scores)):
        low, high = corners[place].tolist()
        size = [high[0] - low[0], high[1] - low[1]]
        if min(size) <= 0:
            continue  # it lay in the padding
        finding = {
            "label": output.labels[int(kept.classes[place])],
            "score": round(float(kept.scores[place]), 4),
            "box": [round(value, 2) for value in [*low, *size]],
        }
        if points is not None:
            finding["keypoints"] = [[round(value, 2) for value in point] for point in points[place].tolist()]
        findings.append(finding)
    return findings


def labelled(card: ModelCard, scores: NDArray[np.float32]) -> list[dict[str, Any]]:
    """Return a classifier's labels, highest score first, ties in the card's order."""
    if not np.isfinite(scores).all():
        raise ModelError(f"{card.name}: a score is not a number")
    order = np.argsort(-scores, kind="stable")[: card.output.max_findings]
    return [{"label": card.output.labels[int(place)], "score": round(float(scores[place]), 4)} for place in order]
