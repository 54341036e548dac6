"""What a loaded model can do, and the shelf that loads each once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.models.card import ModelCard


class Model(Protocol):
    """Loaded weights: preprocess, run and decode as the card says."""

    card: ModelCard

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> list[list[dict[str, Any]]]:
        """Return the findings of each image.

        images: uint8 RGB (h, w, 3), sizes may differ. A finding of a detector is {"label", "score", "box":
        [x, y, width, height] in pixels of the given image, "keypoints"?}; of a classifier {"label", "score"}.
        Raises: DeviceOutOfMemory, ModelError.
        """

    def run(self, batch: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Run the network of a ``tensors`` model on what the caller prepared; outputs by name, float32.

        batch: float32, any shape the network takes, batch axis first. Raises: DeviceOutOfMemory, ModelError.
        """

    def close(self) -> None:
        """Free device memory."""


class ModelShelf(Protocol):
    """Cards by name and loaded models, at most one per (card, device); evicts when told to."""

    def card(self, name: str) -> ModelCard:
        """Raises: ParamsError with code ``model.unknown``."""

    def cards(self) -> Sequence[ModelCard]:
        """All cards on offer, by name."""

    def digest(self, name: str) -> str | None:
        """Return the SHA-256 of a model's weights, None where there are none yet. Raises as ``card``."""

    def load(self, name: str) -> Model:
        """Return the loaded model, pulling weights by digest first if need be. Raises: ModelUnavailable, ModelError."""

    def close(self) -> None:
        """Unload everything."""
