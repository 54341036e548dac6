"""Versions of models: registered or added, activated and rolled back; what a job is pinned to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from storage import audit
from storage.audit import SHELL, Actor
from storage.database import Database
from storage.errors import ModelInactive, ModelUnknown, StateConflict
from storage.jsonb import dump
from storage.model_rows import (
    MODEL_COLUMNS,
    ModelVersion,
    NewVersion,
    lock_name,
    switch,
    version_of,
    versions_of,
)

_LIST = text(f"SELECT {MODEL_COLUMNS} FROM models m ORDER BY m.name, m.created_at DESC, m.version DESC")  # noqa: S608 - fixed text

_INSERT = text("""
    INSERT INTO models (name, version, digest, task, card, state, object_key, size_bytes, evaluation)
    VALUES (:name, :version, :digest, :task, CAST(:card AS jsonb), :state, :object_key, :size_bytes,
        CAST(:evaluation AS jsonb))
    ON CONFLICT (name, version) DO NOTHING
""")
_DELETE_REFUSED = text("DELETE FROM models WHERE name = :name AND version = :version AND state = 'refused'")

# A worker that has the weights tells the digest that another one, without them, could not tell.
_COMPLETE = text("""
    UPDATE models SET digest = :digest WHERE name = :name AND version = :version AND digest = '' AND :digest <> ''
""")
# Of the same weights a later release may say more; what was added over HTTP stays as it came.
_DESCRIBE = text("""
    UPDATE models SET card = CAST(:card AS jsonb), evaluation = CAST(:evaluation AS jsonb)
    WHERE name = :name AND version = :version AND digest = :digest AND object_key IS NULL
        AND (card, evaluation) IS DISTINCT FROM (CAST(:card AS jsonb), CAST(:evaluation AS jsonb))
""")

# Back to what was active before: the version that is left loses its place in that order, so a second step back goes on.
_STEP_BACK = text("UPDATE models SET active = false, activated_at = NULL WHERE name = :name AND active")
_REACTIVATE = text("UPDATE models SET active = true WHERE name = :name AND version = :version")

_PINS = text("SELECT name, version, digest FROM models WHERE name = ANY(CAST(:names AS text[])) AND active")
_KNOWN = text("SELECT DISTINCT name FROM models WHERE name = ANY(CAST(:names AS text[]))")


class Models:
    """Every change of a name is one transaction; reads are one statement."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self) -> Sequence[ModelVersion]:
        """By name, newest version first."""
        with self._database.transaction() as connection:
            return [ModelVersion(**row._mapping) for row in connection.execute(_LIST)]

    def versions(self, name: str) -> Sequence[ModelVersion]:
        """Every version of a name, newest first. Raises: ModelUnknown."""
        with self._database.transaction() as connection:
            return versions_of(connection, name)

    def version(self, name: str, version: str) -> ModelVersion | None:
        """One version, None where there is no such."""
        with self._database.transaction() as connection:
            return version_of(connection, name, version)

    def register(self, new: NewVersion) -> None:
        """Note what a worker has in its own folder; it may serve at once.

        The first version of a name becomes active; a new one takes the place of one from a folder, for the folder does
        not hold that one any more; never the place of one that was added over HTTP.
        Raises: StateConflict when this version is known with another digest: weights never change under a version.
        """
        with self._database.transaction() as connection:
            lock_name(connection, new.name)
            fresh = connection.execute(_INSERT, _record(new, "checked")).rowcount > 0
            connection.execute(_COMPLETE, _record(new, "checked"))
            known = {row.version: row for row in versions_of(connection, new.name)}
            if known[new.version].digest != new.digest and new.digest:
                raise StateConflict(
                    f"model {new.name} {new.version} is known with another digest: give it a new version"
                )
            connection.execute(_DESCRIBE, _record(new, "checked"))
            before = next((row for row in known.values() if row.active), None)
            if before is None or (fresh and before.object_key is None):
                switch(connection, new.name, new.version)

    def add(self, new: NewVersion, *, by: Actor = SHELL) -> tuple[ModelVersion, bool]:
        """Take in a version that came over HTTP, to be checked; return it and whether this call did it.

        The very same version again is no error, and changes nothing unless it was refused: then it is checked anew.
        Raises: StateConflict when this version is known with another digest or card.
        """
        with self._database.transaction() as connection:
            lock_name(connection, new.name)
            connection.execute(_DELETE_REFUSED, {"name": new.name, "version": new.version})
            fresh = connection.execute(_INSERT, _record(new, "added")).rowcount > 0
            found = version_of(connection, new.name, new.version)
            if found is None or (found.digest, found.card) != (new.digest, new.card):
                raise StateConflict(
                    f"model {new.name} {new.version} is known with other weights or another card: give it a new version"
                )
            if fresh:
                audit.note(connection, by, "model.add", name=new.name, version=new.version, digest=new.digest)
            return found, fresh

    def activate(self, name: str, version: str, *, by: Actor = SHELL) -> ModelVersion:
        """Switch new jobs to a version, atomically. Raises: ModelUnknown, ModelInactive (not checked, or refused)."""
        with self._database.transaction() as connection:
            lock_name(connection, name)
            found = version_of(connection, name, version)
            if found is None:
                raise ModelUnknown(f"no version {version} of a model {name}")
            if found.state != "checked":
                raise ModelInactive(_why_not(found))
            if switch(connection, name, version):
                audit.note(connection, by, "model.activate", name=name, version=version)
            return version_of(connection, name, version) or found

    def rollback(self, name: str, *, by: Actor = SHELL) -> ModelVersion:
        """Switch new jobs to the version that was active before this one; again: to the one before that.

        Raises: ModelUnknown, StateConflict when none was.
        """
        with self._database.transaction() as connection:
            lock_name(connection, name)
            rows = [row for row in versions_of(connection, name) if not row.active and row.activated_at is not None]
            if not rows:
                raise StateConflict(f"no other version of {name} was active before")
            before = max(rows, key=lambda row: row.activated_at or row.created_at)
            connection.execute(_STEP_BACK, {"name": name})
            connection.execute(_REACTIVATE, {"name": name, "version": before.version})
            audit.note(connection, by, "model.rollback", name=name, version=before.version)
            return version_of(connection, name, before.version) or before

    def pins(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return the active version and digest of each name, all read at one instant.

        A name that nobody registered is left out: a worker that has it in its folder will say so, or that it is none.
        Raises: ModelInactive when a name is known, but no version of it may serve.
        """
        wanted = sorted(set(names))
        if not wanted:
            return {}
        with self._database.transaction() as connection:
            rows = connection.execute(_PINS, {"names": wanted}).all()
            pins = {row.name: {"version": row.version, "digest": row.digest} for row in rows}
            known = set(connection.execute(_KNOWN, {"names": wanted}).scalars()) if len(pins) < len(wanted) else set()
        if idle := sorted(known - pins.keys()):
            raise ModelInactive(f"no version of {', '.join(idle)} may serve yet: see what its check says")
        return pins


def _why_not(found: ModelVersion) -> str:
    if found.state == "added":
        return f"{found.name} {found.version} is not checked yet; a worker that serves {found.task} does that"
    return f"{found.name} {found.version} was refused: {(found.error or {}).get('message', '')}"


def _record(new: NewVersion, state: str) -> dict[str, Any]:
    return {
        "name": new.name,
        "version": new.version,
        "digest": new.digest,
        "task": new.task,
        "card": dump(new.card),
        "state": state,
        "object_key": new.object_key,
        "size_bytes": new.size_bytes,
        "evaluation": None if new.evaluation is None else dump(new.evaluation),
    }
