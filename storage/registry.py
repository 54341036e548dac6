"""What this installation can run: pipelines and model versions, as workers registered them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage import audit
from storage.audit import SHELL, Actor
from storage.database import Database
from storage.errors import StateConflict
from storage.jsonb import dump


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


_REGISTER_PIPELINE = text("""
    INSERT INTO pipelines AS p (name, spec_version, lane, spec)
    VALUES (:name, :spec_version, :lane, CAST(:spec AS jsonb))
    ON CONFLICT (name) DO UPDATE SET
        spec_version = excluded.spec_version, lane = excluded.lane, spec = excluded.spec, updated_at = clock_timestamp()
    WHERE p.spec_version <= excluded.spec_version
        AND (p.spec_version, p.lane, p.spec) IS DISTINCT FROM (excluded.spec_version, excluded.lane, excluded.spec)
""")

_PIPELINES = text("SELECT name, spec_version, lane, spec, updated_at FROM pipelines ORDER BY name")

_REGISTER_MODEL = text("""
    INSERT INTO models (name, version, digest, task, card)
    VALUES (:name, :version, :digest, :task, CAST(:card AS jsonb))
    ON CONFLICT (name, version) DO NOTHING
""")

_ACTIVATE_FIRST = text("""
    UPDATE models SET active = true WHERE name = :name AND version = :version
        AND NOT EXISTS (SELECT FROM models WHERE name = :name AND active)
""")

_DIGESTS = text("SELECT version, digest FROM models WHERE name = :name")

# One change of a name at a time, from its first row on: which version is active depends on all of them.
_LOCK_NAME = text("SELECT pg_advisory_xact_lock(hashtextextended('framequeue model ' || :name, 0))")

# First off, then on: the unique index on the active version is checked row by row.
_DEACTIVATE = text("UPDATE models SET active = false WHERE name = :name AND active AND version <> :version")
_ACTIVATE = text("UPDATE models SET active = true WHERE name = :name AND version = :version AND NOT active")

_MODELS = text("""
    SELECT name, version, digest, task, active, card, created_at FROM models
    ORDER BY name, created_at DESC, version DESC
""")


class Registry:
    """Upserts by workers and ``migrate``, reads by web."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register_pipeline(self, name: str, *, spec_version: int, lane: str, spec: Mapping[str, Any]) -> None:
        """Insert or update; an older spec_version never replaces a newer one."""
        row = {"name": name, "spec_version": spec_version, "lane": lane, "spec": dump(spec)}
        with self._database.transaction() as connection:
            connection.execute(_REGISTER_PIPELINE, row)

    def pipelines(self) -> Sequence[PipelineRow]:
        """By name."""
        with self._database.transaction() as connection:
            return [PipelineRow(**row._mapping) for row in connection.execute(_PIPELINES)]

    def register_model(self, *, name: str, version: str, digest: str, task: str, card: Mapping[str, Any]) -> None:
        """Insert; the first version of a name becomes active.

        Raises: StateConflict when this version is known with another digest: weights never change under a version.
        """
        row = {"name": name, "version": version, "digest": digest, "task": task, "card": dump(card)}
        with self._database.transaction() as connection:
            connection.execute(_LOCK_NAME, {"name": name})
            connection.execute(_REGISTER_MODEL, row)
            if _digests(connection, name)[version] != digest:
                raise StateConflict(f"model {name} {version} is known with another digest; give it a new version")
            connection.execute(_ACTIVATE_FIRST, {"name": name, "version": version})

    def models(self) -> Sequence[ModelRow]:
        """By name, newest version first."""
        with self._database.transaction() as connection:
            return [ModelRow(**row._mapping) for row in connection.execute(_MODELS)]

    def activate(self, name: str, version: str, *, by: Actor = SHELL) -> bool:
        """Switch new jobs to a version, atomically; False when it is unknown."""
        with self._database.transaction() as connection:
            connection.execute(_LOCK_NAME, {"name": name})
            if version not in _digests(connection, name):
                return False
            connection.execute(_DEACTIVATE, {"name": name, "version": version})
            if connection.execute(_ACTIVATE, {"name": name, "version": version}).rowcount:
                audit.note(connection, by, "model.activate", name=name, version=version)
            return True


def _digests(connection: Connection, name: str) -> dict[str, str]:
    return {row.version: row.digest for row in connection.execute(_DIGESTS, {"name": name})}
