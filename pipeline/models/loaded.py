"""A loaded model: prepare, run and decode as the card says, whatever the runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.device import own_error
from pipeline.errors import ModelError
from pipeline.models.card import ModelCard
from pipeline.models.decoders import CLASSIFIERS, DETECTORS, SEGMENTERS
from pipeline.models.findings import boxed, labelled, masked
from pipeline.models.outputs import Outputs
from pipeline.models.preprocess import Placement, prepare


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

    def warm_up(self) -> None:
        """Run the network once, so that the first job pays for no kernel choice and a misfit with the card shows now.

        Raises: DeviceOutOfMemory, ModelError.
        """
        spec = self.card.input
        if self.card.task == "text":
            self.describe([np.full((spec.height, spec.width, 3), 128, dtype=np.uint8)], self.sample_prompt)
            return
        ramp = np.linspace(0, 255, spec.width, dtype=np.uint8)[None, :, None]  # black alone is 0 / 0 to some networks
        self.predict([np.broadcast_to(ramp, (spec.height, spec.width, 3))])

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> list[list[dict[str, Any]]]:
        """Return the findings of each image; at most ``max_batch`` go through the network at once.

        Raises: DeviceOutOfMemory, ModelError.
        """
        size = self._forward.fixed_batch or self.card.max_batch
        found: list[list[dict[str, Any]]] = []
        for first in range(0, len(images), size):
            found.extend(self._chunk(images[first : first + size]))
        return found

    def describe(self, images: Sequence[NDArray[np.uint8]], prompt: str | None = None) -> list[str]:
        """Return what a ``text`` model says of each image; at most ``max_batch`` go through the network at once.

        prompt: None for a caption, else a question. Raises: DeviceOutOfMemory, ModelError.
        """
        speak = getattr(self._forward, "describe", None)
        if speak is None:
            raise ModelError(f"{self.card.name} is a {self.card.task} model: it says nothing in words")
        size, said = self.card.max_batch, list[str]()
        try:
            for first in range(0, len(images), size):
                said += speak(images[first : first + size], prompt)
        except Exception as error:
            raise own_error(error, f"{self.card.name} failed") from error
        return said

    @property
    def sample_prompt(self) -> str | None:
        """What a ``text`` model is asked about a sample; None for a caption."""
        return getattr(self._forward, "sample_prompt", None)

    @property
    def fixed_batch(self) -> int | None:
        """The only batch size that the network takes; None where any will do."""
        return self._forward.fixed_batch

    @property
    def module(self) -> Any:
        """The network as a torch module where the runtime has one, else None; for conversion to other formats."""
        return getattr(self._forward, "module", None)

    @property
    def constants(self) -> Mapping[str, NDArray[np.generic]]:
        """What the weights file holds besides weights, as the network that a card's ``entry`` made tells it."""
        return getattr(self._forward, "constants", {})

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
        try:
            return self._findings(outputs, placements)
        except Exception as error:  # outputs may have any form, and decoders check what is likely
            raise own_error(error, f"{self.card.name}: its outputs cannot be read") from error

    def _findings(self, outputs: Outputs, placements: Sequence[Placement]) -> list[list[dict[str, Any]]]:
        card = self.card
        if card.task == "detect":
            boxes = DETECTORS[card.output.decoder](outputs, card)
            return [boxed(card, one, where) for one, where in zip(boxes, placements, strict=True)]
        if card.task == "segment":
            regions = SEGMENTERS[card.output.decoder](outputs, card)
            return [masked(card, one, where) for one, where in zip(regions, placements, strict=True)]
        if card.task == "classify":
            scores = CLASSIFIERS[card.output.decoder](outputs, card)
            return [labelled(card, one) for one in scores]
        raise ModelError(f"{card.name} is a {card.task} model: it tells no findings")

    def _call(self, batch: NDArray[np.float32]) -> Outputs:
        """Run one piece, filled up where the export takes only one size; the filling is cut off again."""
        wanted = len(batch)
        missing = (self._forward.fixed_batch or 0) - wanted
        if missing > 0:
            batch = np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), dtype=np.float32)])
        try:
            outputs = self._forward(batch if self.card.output.batched else batch[0])
        except Exception as error:
            raise own_error(error, f"{self.card.name} failed") from error
        if not self.card.output.batched:
            outputs = {name: values[None] for name, values in outputs.items()}
        if any(len(values) != len(batch) for values in outputs.values() if values.ndim):
            raise ModelError(f"{self.card.name}: an output does not hold one entry per picture")
        return {name: values[:wanted] if values.ndim else values for name, values in outputs.items()}
