"""What pipelines around models of the shelf have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import ParamsError
from pipeline.frame import Frame
from pipeline.media import MediaInfo
from pipeline.models.base import ModelShelf
from pipeline.models.card import ModelCard
from pipeline.pipelines.base import Params
from pipeline.spec import PipelineSpec


class Modelled:
    """A pipeline whose models are named by the parameters that ``spec.models`` lists; it keeps no state.

    A parameter that is null names no model.
    """

    spec: PipelineSpec
    lead_in_seconds = 0.0

    def check(self, params: Params, shelf: ModelShelf) -> None:
        """Raises: ParamsError with code ``model.unknown`` for no such model, ``params.invalid`` for another task."""
        for name, tasks in self.spec.models.items():
            if params.get(name) is not None:
                _check_task(self.spec.name, shelf.card(params[name]), tasks, shelf)

    def cost_seconds(self, params: Params, shelf: ModelShelf) -> float:
        """Return the declared cost of one picture, summed over the models."""
        return sum(card.cost_seconds for card in self._cards(params, shelf))

    def start(self, media: MediaInfo, params: Params) -> Any:
        """Return None: frames are independent."""
        return None

    def models_used(self, params: Params, shelf: ModelShelf) -> Sequence[Mapping[str, Any]]:
        """Return name, version, digest and licence of each model."""
        return [
            {"name": card.name, "version": card.version, "digest": shelf.digest(card.name), "licence": card.licence}
            for card in self._cards(params, shelf)
        ]

    def _cards(self, params: Params, shelf: ModelShelf) -> list[ModelCard]:
        names = dict.fromkeys(params[name] for name in self.spec.models if params.get(name) is not None)
        return [shelf.card(name) for name in names]


class OneModel(Modelled):
    """A pipeline whose ``infer`` is one call to the model that ``params["model"]`` names."""

    def infer(self, frames: Sequence[Frame], params: Params, shelf: ModelShelf) -> Sequence[list[dict[str, Any]]]:
        """Return the model's findings of each frame, those under ``min_score`` left out.

        Raises: DeviceOutOfMemory, ModelError, ModelUnavailable.
        """
        return findings_of(shelf, params["model"], frames, params["min_score"])


def findings_of(
    shelf: ModelShelf, name: str, frames: Sequence[Frame], min_score: float | None
) -> list[list[dict[str, Any]]]:
    """Return a model's findings of each frame, in the frame's pixels; under ``min_score``, None: the card's, left out.

    Raises: DeviceOutOfMemory, ModelError, ModelUnavailable.
    """
    model = shelf.load(name)
    floor = model.card.output.min_score if min_score is None else min_score
    found = model.predict([frame.image for frame in frames])
    return [[one for one in findings if one["score"] >= floor] for findings in found]


def _check_task(pipeline: str, card: ModelCard, tasks: Sequence[str], shelf: ModelShelf) -> None:
    if card.task in tasks:
        return
    fitting = [one.name for one in shelf.cards() if one.task in tasks]
    raise ParamsError(
        f"{card.name} is a {card.task} model; {pipeline} takes {' or '.join(tasks)}.",
        advice=f"Models that fit: {', '.join(fitting) or 'none'}.",
    )
