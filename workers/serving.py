"""What a worker serves: the model shelf, and the entries of models and pipelines in the database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.models.shelf import DEFAULT_CACHE, FolderShelf
from pipeline.models.shelf import open_shelf as open_folder_shelf
from pipeline.pipelines.base import Pipeline
from storage.errors import StateConflict
from storage.model_rows import NewVersion
from storage.models import Models
from storage.objects.port import ObjectStore
from storage.registry import Registry
from workers.logs import get_logger
from workers.model_files import ModelFiles
from workers.model_shelf import VersionShelf
from workers.settings import WorkerSettings

log = get_logger(__name__)

#: what is told of how good a model is, beside its card
EVALUATION_FILE = "evaluation.json"
EVALUATION_BYTES_MAX = 256 * 1024


def open_shelf(settings: WorkerSettings) -> FolderShelf:
    """Return the shelf of the built-in cards and the operator's own; loads nothing."""
    return open_folder_shelf(
        model_dir=settings.model_dir,
        cache_dir=settings.model_cache,
        mirror=settings.model_mirror,
        device=settings.device,
        precision=settings.precision,
    )


def open_versions(settings: WorkerSettings, models: Models, objects: ObjectStore) -> VersionShelf:
    """Return the shelf of exact versions over this worker's folders and the object store; loads nothing."""
    files = ModelFiles(
        open_shelf(settings),
        models,
        objects,
        cache_dir=settings.model_cache or DEFAULT_CACHE,
        mirror=settings.model_mirror,
    )
    return VersionShelf(files, device=settings.device, precision=settings.precision, max_bytes=settings.model_bytes)


def register(
    registry: Registry, pipelines: Mapping[str, Pipeline], max_runtimes: Mapping[str, float] | None = None
) -> None:
    """Write the pipelines that are served into the database, as the operator has them, for web to offer.

    Raises: DatabaseUnavailable.
    """
    for name, pipeline in pipelines.items():
        spec = pipeline.spec
        if max_runtimes and name in max_runtimes:
            spec = replace(spec, max_runtime_seconds=max_runtimes[name])
        registry.register_pipeline(name, spec_version=spec.spec_version, lane=spec.lane, spec=spec.as_json())


def register_models(models: Models, shelf: FolderShelf) -> None:
    """Write the cards of this worker's folders into the database. Raises: DatabaseUnavailable."""
    for card in shelf.cards():
        try:
            models.register(
                NewVersion(
                    name=card.name,
                    version=card.version,
                    digest=shelf.digest(card.name) or "",
                    task=card.task,
                    card=card.as_json(),
                    evaluation=_evaluation(shelf.folder(card.name)),
                )
            )
        except (PipelineError, StateConflict) as error:
            log.warning("model.not_registered", model=card.name, version=card.version, error=str(error))


def _evaluation(folder: Path) -> dict[str, Any] | None:
    path = folder / EVALUATION_FILE
    try:
        if not path.is_file():
            return None
        if path.stat().st_size > EVALUATION_BYTES_MAX:
            raise ValueError(f"larger than {EVALUATION_BYTES_MAX} bytes")
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("not a JSON object")
    except (OSError, ValueError) as error:
        log.warning("model.evaluation_unreadable", path=str(path), error=str(error))
        return None
    return found
