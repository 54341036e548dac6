"""What a worker serves: the model shelf, and the entries of models and pipelines in the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pipeline.errors import PipelineError
from pipeline.models.shelf import FolderShelf
from pipeline.models.shelf import open_shelf as open_folder_shelf
from pipeline.pipelines.base import Pipeline
from storage.registry import Registry
from workers.logs import get_logger
from workers.settings import WorkerSettings

log = get_logger(__name__)


def open_shelf(settings: WorkerSettings) -> FolderShelf:
    """Return the shelf of the built-in cards and the operator's own; loads nothing."""
    return open_folder_shelf(
        model_dir=settings.model_dir,
        cache_dir=settings.model_cache,
        mirror=settings.model_mirror,
        device=settings.device,
        precision=settings.precision,
    )


def register(
    registry: Registry, pipelines: Mapping[str, Pipeline], shelf: FolderShelf, max_runtimes: Mapping[str, float]
) -> None:
    """Write what is served into the database, as the operator has it, for web to offer.

    Raises: DatabaseUnavailable.
    """
    for name, pipeline in pipelines.items():
        spec = pipeline.spec
        if name in max_runtimes:
            spec = replace(spec, max_runtime_seconds=max_runtimes[name])
        registry.register_pipeline(name, spec_version=spec.spec_version, lane=spec.lane, spec=spec.as_json())
    for card in shelf.cards():
        try:
            digest = shelf.digest(card.name)
        except PipelineError as error:
            log.warning("model.not_registered", model=card.name, error=str(error))
            continue
        registry.register_model(
            name=card.name, version=card.version, digest=digest or "", task=card.task, card=card.as_json()
        )
