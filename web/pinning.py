"""Which exact versions of models a job runs with: those active when it was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.spec import batch_key
from storage.model_rows import Pins
from storage.models import Models
from storage.registry import PipelineRow


@dataclass(frozen=True, slots=True)
class Pinned:
    """Complete parameters, the versions of the models they name, and what segments share that are alike in both."""

    params: Mapping[str, Any]
    pins: Pins
    batch_key: str

    def as_json(self) -> dict[str, Any]:
        """Return what an order to replay keeps of it; see ``storage.replaying.NewParams``."""
        return {"params": self.params, "pins": self.pins, "batch_key": self.batch_key}


def pin(models: Models, row: PipelineRow, params: Mapping[str, Any]) -> Pinned:
    """Look up the active version of each model that the parameters name, all at one instant.

    Raises: ModelInactive, DatabaseUnavailable.
    """
    named = [params.get(name) for name in row.spec.get("models", {})]
    pins = models.pins([name for name in named if isinstance(name, str)])
    return Pinned(params, pins, batch_key(row.name, row.spec_version, params, pins))
