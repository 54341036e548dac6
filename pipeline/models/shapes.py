"""Whether a network takes what its card says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.errors import ModelError
from pipeline.models.card import ModelCard


def input_shape(card: ModelCard) -> tuple[int, ...]:
    """Return the shape of one picture's input, without the batch axis, as the card says."""
    channels = 1 if card.input.colour == "GREY" else 3
    height, width = card.input.height, card.input.width
    return (channels, height, width) if card.input.layout == "NCHW" else (height, width, channels)


def fixed_batch(card: ModelCard, shape: Sequence[Any]) -> int | None:
    """Return the only batch size that a network takes, None where any will do.

    shape: of its input, sizes that are free as anything but int. The network of a ``tensors`` card may take any shape.
    Raises: ModelError where the shape is not the card's.
    """
    wanted = input_shape(card)
    sizes = shape[1:] if card.output.batched else shape
    fits = len(sizes) == 3 and all(
        not isinstance(has, int) or has == want for has, want in zip(sizes, wanted, strict=True)
    )
    if card.task != "tensors" and not fits:
        axis = "n, " if card.output.batched else ""
        raise ModelError(
            f"{card.name}: the model takes {list(shape)}, the card says [{axis}{', '.join(map(str, wanted))}]"
        )
    if not card.output.batched:
        return 1
    return shape[0] if shape and isinstance(shape[0], int) and shape[0] > 0 else None
