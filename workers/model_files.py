"""Exact versions of models on this machine: the card of a version, and its weights from folder, cache or store."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from pydantic import ValidationError

from pipeline.errors import ModelUnavailable, ParamsError
from pipeline.models.card import ModelCard
from pipeline.models.pull import file_digest, pull_weights
from pipeline.models.shelf import FolderShelf
from storage.errors import ObjectNotFound
from storage.model_rows import ModelVersion
from storage.objects.port import ObjectStore, Tick, no_tick
from workers.scratch import ScratchUnavailable


class Versions(Protocol):
    """Where a version's row is read; ``Models`` is one."""

    def version(self, name: str, version: str) -> ModelVersion | None:
        """One version, None where there is no such."""


@dataclass(frozen=True, slots=True)
class Package:
    """One exact version: its card, and what weights and code it is loaded from."""

    card: ModelCard
    digest: str | None
    #: of the card, for code and labels beside it; of a version from the store a folder that does not exist
    folder: Path
    #: None: it is the one in this worker's folder
    row: ModelVersion | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes two loaded models the same."""
        return self.card.name, self.card.version, self.digest or ""


class ModelFiles:
    """Finds packages and has their weights on the local disk; a version that was read once is remembered."""

    def __init__(
        self,
        folders: FolderShelf,
        versions: Versions,
        objects: ObjectStore,
        *,
        cache_dir: Path,
        mirror: str | None = None,
    ) -> None:
        self.folders = folders
        self._versions = versions
        self._objects = objects
        self._cache_dir = cache_dir
        self._mirror = mirror
        self._found: dict[tuple[str, str, str], Package] = {}

    def package(self, name: str, pin: Mapping[str, str] | None) -> Package:
        """Return the pinned version of a name; without a pin what this worker's folder has.

        Raises: ParamsError with code ``model.unknown``, ModelUnavailable, DatabaseUnavailable.
        """
        if pin is None:
            return self._of_folder(name)
        key = (name, pin["version"], pin["digest"])
        if key not in self._found:
            self._found[key] = self._pinned(*key)
        return self._found[key]

    def of_row(self, row: ModelVersion) -> Package:
        """Return the package of a version in the database. Raises: ModelUnavailable when its card is too new."""
        try:
            card = ModelCard.model_validate(row.card)
        except ValidationError as error:
            raise ModelUnavailable(
                f"the card of {row.name} {row.version} means nothing to this worker: {error.errors()[0]['msg']}",
                advice="Update the worker: the card was written for a newer release.",
            ) from error
        weights = card.weights.model_copy(update={"sha256": row.digest})
        return Package(card.model_copy(update={"weights": weights}), row.digest, self._cache_dir / "no-folder", row)

    def weights(self, package: Package, tick: Tick = no_tick) -> Path:
        """Return the weights as a local file with the right digest, fetching them if need be.

        Raises: ModelUnavailable, ObjectStoreUnavailable, ScratchUnavailable, and what ``tick`` raises.
        """
        if package.row is None:
            return self._beside(package)
        if package.row.object_key is None:
            return pull_weights(package.card, package.folder, self._cache_dir, mirror=self._mirror)
        path = self._cache_dir / package.row.digest[:2] / package.row.digest / package.card.weights.file
        if not path.is_file() or file_digest(path) != package.row.digest:
            self._fetch(package.row.object_key, path, package.row, tick)
        return path

    def _beside(self, package: Package) -> Path:
        path = self.folders.pull(package.card.name)
        if package.digest is not None and file_digest(path) != package.digest:
            raise ModelUnavailable(
                f"{path} was changed under version {package.card.version}",
                advice="Weights never change under a version: give the new ones a new version and restart the worker.",
            )
        return path

    def _of_folder(self, name: str) -> Package:
        return Package(self.folders.card(name), self.folders.digest(name), self.folders.folder(name))

    def _pinned(self, name: str, version: str, digest: str) -> Package:
        if any(card.name == name and card.version == version for card in self.folders.cards()):
            here = self._of_folder(name)
            if digest in {"", here.digest}:
                return here
        row = self._versions.version(name, version)
        if row is None or row.digest != digest:
            raise ParamsError(f"There is no version {version} of model {name!r} any more.", code="model.unknown")
        if row.card.get("runtime") == "python" and row.object_key is None:
            raise ModelUnavailable(
                f"{name} {version} is in no folder of this worker, and its code lies there",
                advice="Put it back, or activate the version that is there.",
            )
        return self.of_row(row)

    def _fetch(self, key: str, path: Path, row: ModelVersion, tick: Tick) -> None:
        """Copy weights from the store into the cache: whole and with the right digest, or not at all."""
        temporary = path.with_name(f".fetch-{os.getpid()}-{uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stored = self._objects.fetch(key, temporary, tick=tick)
            if stored.sha256 != row.digest:
                raise ModelUnavailable(
                    f"the store holds other weights of {row.name} {row.version} than were added",
                    advice="Add them again as a new version.",
                )
            temporary.chmod(0o644)
            temporary.replace(path)
        except ObjectNotFound as error:
            raise ModelUnavailable(
                f"the weights of {row.name} {row.version} are not in the object store any more",
                advice="Add them again as a new version.",
            ) from error
        except OSError as error:
            raise ScratchUnavailable(f"the cache of models on this worker's disk is full or broken: {error}") from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
