"""What pipelines around one model of the shelf have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import ParamsError
from pipeline.frame import Frame
from pipeline.media import MediaInfo
from pipeline.models.base import ModelShelf
from pipeline.pipelines.base import Params
from pipeline.spec import PipelineSpec


class Modelled:
    """A pipeline whose ``infer`` is one call to the model that ``params["model"]`` names; it keeps no state."""

    spec: PipelineSpec
    lead_in_seconds = 0.0

    def check(self, params: Params, shelf: ModelShelf) -> None:
        """Raises: ParamsError with code ``model.unknown`` for no such model, ``params.invalid`` for another task."""
        card = shelf.card(params["model"])
        if card.task not in self.spec.model_tasks:
            fitting = [one.name for one in shelf.cards() if one.task in self.spec.model_tasks]
            raise ParamsError(
                f"{card.name} is a {card.task} model; {self.spec.name} takes {' or '.join(self.spec.model_tasks)}.",
                advice=f"Models that fit: {', '.join(fitting) or 'none'}.",
            )

    def cost_seconds(self, params: Params, shelf: ModelShelf) -> float:
        """Return the card's declared cost of one picture."""
        return shelf.card(params["model"]).cost_seconds

    def start(self, media: MediaInfo, params: Params) -> Any:
        """Return None: frames are independent."""
        return None

    def infer(self, frames: Sequence[Frame], params: Params, shelf: ModelShelf) -> Sequence[list[dict[str, Any]]]:
        """Return the model's findings of each frame, those under ``min_score`` left out.

        Raises: DeviceOutOfMemory, ModelError, ModelUnavailable.
        """
        model = shelf.load(params["model"])
        floor = params["min_score"]
        if floor is None:
            floor = model.card.output.min_score
        found = model.predict([frame.image for frame in frames])
        return [[one for one in findings if one["score"] >= floor] for findings in found]

    def models_used(self, params: Params, shelf: ModelShelf) -> Sequence[Mapping[str, Any]]:
        """Return name, version, digest and licence of the model."""
        card = shelf.card(params["model"])
        facts = {"name": card.name, "version": card.version, "digest": shelf.digest(card.name)}
        return [{**facts, "licence": card.licence}]
