"""One row of ``models``, and the steps that every change of one is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage.errors import ModelUnknown

#: name of a model -> its version and digest, as a job runs with them
Pins = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One row of ``models``; name and version are its key, and its weights never change."""

    name: str
    version: str
    #: SHA-256 of the weights; empty where no worker has them yet
    digest: str
    task: str
    active: bool
    #: added (waits for its check), checked (may serve) or refused (``error`` says why)
    state: str
    card: Mapping[str, Any]
    #: where the weights lie in the object store; None: in a folder of the workers
    object_key: str | None
    size_bytes: int | None
    error: Mapping[str, Any] | None
    #: "host/device" -> what its check measured there
    measured: Mapping[str, Mapping[str, Any]]
    evaluation: Mapping[str, Any] | None
    created_at: datetime
    checked_at: datetime | None
    activated_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version as it comes in."""

    name: str
    version: str
    digest: str
    task: str
    card: Mapping[str, Any]
    object_key: str | None = None
    size_bytes: int | None = None
    evaluation: Mapping[str, Any] | None = None


#: select list for ``ModelVersion``; the table is named ``m`` in the statement
MODEL_COLUMNS = """m.name, m.version, m.digest, m.task, m.active, m.state, m.card, m.object_key, m.size_bytes, m.error,
    m.measured, m.evaluation, m.created_at, m.checked_at, m.activated_at"""

_OF_NAME = text(f"SELECT {MODEL_COLUMNS} FROM models m WHERE m.name = :name ORDER BY m.created_at DESC, m.version DESC")  # noqa: S608
_ONE = text(f"SELECT {MODEL_COLUMNS} FROM models m WHERE m.name = :name AND m.version = :version")  # noqa: S608 - fixed text

# One change of a name at a time, from its first row on: which version is active depends on all of them.
_LOCK_NAME = text("SELECT pg_advisory_xact_lock(hashtextextended('framequeue model ' || :name, 0))")

# First off, then on: the unique index on the active version is checked row by row.
_DEACTIVATE = text("UPDATE models SET active = false WHERE name = :name AND active AND version <> :version")
_ACTIVATE = text("""
    UPDATE models SET active = true, activated_at = clock_timestamp()
    WHERE name = :name AND version = :version AND state = 'checked' AND NOT active
""")


def lock_name(connection: Connection, name: str) -> None:
    """Wait for other changes of this name, and let none begin before the transaction ends."""
    connection.execute(_LOCK_NAME, {"name": name})


def versions_of(connection: Connection, name: str) -> Sequence[ModelVersion]:
    """Every version of a name, newest first. Raises: ModelUnknown."""
    rows = [ModelVersion(**row._mapping) for row in connection.execute(_OF_NAME, {"name": name})]
    if not rows:
        raise ModelUnknown(f"no model {name}")
    return rows


def version_of(connection: Connection, name: str, version: str) -> ModelVersion | None:
    """One version, None where there is no such."""
    row = connection.execute(_ONE, {"name": name, "version": version}).one_or_none()
    return None if row is None else ModelVersion(**row._mapping)


def switch(connection: Connection, name: str, version: str) -> bool:
    """Make a checked version the active one; return whether it was not before. The name is locked."""
    connection.execute(_DEACTIVATE, {"name": name, "version": version})
    return connection.execute(_ACTIVATE, {"name": name, "version": version}).rowcount > 0
