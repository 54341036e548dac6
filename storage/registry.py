"""What this installation can run: pipelines and model versions, as workers registered them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.database import Database


@dataclass(frozen=True, slots=True)
class PipelineRow:
    """One row of ``pipelines``; ``spec`` is the pipeline's own description as JSON (see pipeline.spec)."""

    name: str
    spec_version: int
    lane: str
    spec: Mapping[str, Any]
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model version known here."""

    name: str
    version: str
    digest: str
    task: str
    active: bool
    card: Mapping[str, Any]
    created_at: datetime


class Registry:
    """Upserts by workers and ``migrate``, reads by web."""

    def __init__(self, database: Database) -> None:
        raise NotImplementedError

    def register_pipeline(self, name: str, *, spec_version: int, lane: str, spec: Mapping[str, Any]) -> None:
        """Insert or update; an older spec_version never replaces a newer one."""
        raise NotImplementedError

    def pipelines(self) -> Sequence[PipelineRow]:
        """By name."""
        raise NotImplementedError

    def pipeline(self, name: str) -> PipelineRow | None:
        """One row."""
        raise NotImplementedError

    def register_model(self, *, name: str, version: str, digest: str, task: str, card: Mapping[str, Any]) -> None:
        """Insert; the first version of a name becomes active."""
        raise NotImplementedError

    def models(self) -> Sequence[ModelRow]:
        """By name, newest version first."""
        raise NotImplementedError

    def activate(self, name: str, version: str) -> bool:
        """Switch new jobs to a version, atomically; False when it is unknown."""
        raise NotImplementedError
