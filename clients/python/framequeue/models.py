"""Versions of models: add, look, activate, roll back; for operators."""

from __future__ import annotations

import hashlib
import os
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from framequeue.documents import as_mapping, as_mappings, as_text
from framequeue.errors import ConfigurationError
from framequeue.sources import LocalFile, Meter, OnProgress, Stretch, source_of
from framequeue.transport import Call, Transport

CARD_FILE = "model.toml"
EVALUATION_FILE = "evaluation.json"
#: pause between two looks at a version that is being checked
LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a model, as the API tells it."""

    name: str
    version: str
    #: SHA-256 of the weights
    digest: str
    task: str
    #: new jobs use it
    active: bool
    #: added (waits for its check by a worker), checked (may serve) or refused
    state: str
    #: why it was refused
    error: Mapping[str, Any] | None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> ModelVersion:
        """Read a version document."""
        return cls(
            name=str(raw.get("name") or ""),
            version=str(raw.get("version") or ""),
            digest=str(raw.get("digest") or ""),
            task=str(raw.get("task") or ""),
            active=raw.get("active") is True,
            state=str(raw.get("state") or ""),
            error=as_mapping(raw.get("error")) or None,
            raw=raw,
        )


class Models:
    """The calls under ``/v1/models``; made by ``Client.models``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> list[ModelVersion]:
        """Return every version, by name, newest first. Raises: APIError."""
        found = self._transport.json(Call("GET", "/v1/models"))
        return [ModelVersion.read(raw) for raw in as_mappings(found.get("models"))]

    def versions(self, name: str) -> list[ModelVersion]:  # type: ignore[valid-type]  # ``list`` is the method above
        """Return the versions of one model, newest first. Raises: NotFoundError, APIError."""
        return [ModelVersion.read(raw) for raw in as_mappings(self.show(name).get("versions"))]

    def show(self, name: str) -> Mapping[str, Any]:
        """Return one model's document: active version, and each version with card, figures and evaluation.

        Raises: NotFoundError, APIError.
        """
        return self._transport.json(Call("GET", _path(name)))

    def add(
        self,
        card: str | os.PathLike[str],
        weights: str | os.PathLike[str] | None = None,
        *,
        on_progress: OnProgress | None = None,
    ) -> ModelVersion:
        """Send a card and its weights; return the version, which a worker checks next (see ``wait``).

        card: a package folder, or its model.toml. weights: the file that the card names, beside it, unless given.
        Labels and evaluation.json beside the card go with it. Sending the same version again changes nothing.
        Raises: ConfigurationError (a file cannot be read), InvalidError (``faults`` names all of the card),
        ConflictError (the version is known with other weights or another card), APIError.
        """
        path = Path(card)
        path = path / CARD_FILE if path.is_dir() else path
        text = _text(path)
        source = _weights(path, text, weights)
        fields = {"card": text, "sha256": _digest(source.path)}
        for name, beside in (("labels", _named(text, "output", "labels_file")), ("evaluation", EVALUATION_FILE)):
            if beside and (path.parent / beside).is_file():
                fields[name] = _text(path.parent / beside)
        meter = Meter(source.size_bytes, on_progress, self._transport.closed)
        with source.open() as file:
            body = Stretch(file, 0, source.size_bytes, meter)

            def form() -> Mapping[str, Any]:
                meter.add(-body.tell())
                body.seek(0)
                return {"data": fields, "files": {"file": (source.filename, body, "application/octet-stream")}}

            return ModelVersion.read(self._transport.json(Call("POST", "/v1/models", body=form)))

    def wait(self, name: str, version: str, timeout: float | None = None) -> ModelVersion:
        """Wait until a version was checked or refused, or the time is up; return it as it stands.

        Raises: NotFoundError, APIError.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            found = next((one for one in self.versions(name) if one.version == version), None)
            if found is None:
                raise ConfigurationError(f"there is no version {version} of {name} any more", code="model.unknown")
            if found.state != "added" or (deadline is not None and time.monotonic() >= deadline):
                return found
            self._transport.pause(LOOK_SECONDS)

    def activate(self, name: str, version: str) -> ModelVersion:
        """Switch new jobs to a version. Raises: NotFoundError, ConflictError (it may not serve), APIError."""
        body = {"json": {"version": version}}
        call = Call("POST", f"{_path(name)}/activate", body=lambda: body)
        return ModelVersion.read(self._transport.json(call))

    def rollback(self, name: str) -> ModelVersion:
        """Switch new jobs to the version that was active before. Raises: NotFoundError, ConflictError, APIError."""
        return ModelVersion.read(self._transport.json(Call("POST", f"{_path(name)}/rollback", repeatable=False)))


def _path(name: str) -> str:
    return f"/v1/models/{quote(name, safe='')}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}", code="file.unreadable") from error


def _named(card: str, table: str, key: str) -> str | None:
    """Return a file name that a card holds; what else is wrong with the card is the server's to say."""
    try:
        found = as_mapping(tomllib.loads(card).get(table)) or {}
    except tomllib.TOMLDecodeError:
        return None
    return as_text(found.get(key))


def _weights(card: Path, text: str, given: str | os.PathLike[str] | None) -> LocalFile:
    name = _named(text, "weights", "file")
    if given is None and name is None:
        raise ConfigurationError(f"{card} names no weights file", code="file.unreadable", advice="give it: --weights")
    source = source_of(Path(given) if given is not None else card.parent / str(name))
    if not isinstance(source, LocalFile):
        raise ConfigurationError("weights are a file", code="file.unreadable")
    return source


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
