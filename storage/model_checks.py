"""The check of a version by a worker: taken by one at a time, for as long as that worker lives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text

from storage.database import Database
from storage.jsonb import dump
from storage.model_rows import MODEL_COLUMNS, ModelVersion, lock_name, switch, versions_of

#: a check that ended its worker so often ends with the version refused
CHECK_TRIES = 3


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a worker found: an error refuses the version."""

    error: Mapping[str, Any] | None = None
    measured: Mapping[str, Any] = field(default_factory=dict)


# A check is its worker's as long as that one lives: no lease of its own. One that it takes again has ended nobody: what
# came of it could not be written down.
_TAKE = text(f"""
    UPDATE models m SET checker = :worker_id,
        check_tries = check_tries + CASE WHEN m.checker = :worker_id THEN 0 ELSE 1 END
    WHERE (m.name, m.version) IN (
        SELECT d.name, d.version FROM models d
        WHERE d.state = 'added' AND d.task = ANY(CAST(:tasks AS text[]))
            AND (d.checker IS NULL OR d.checker = :worker_id OR NOT EXISTS (
                SELECT FROM workers w WHERE w.id = d.checker AND w.state IN ('live', 'draining')))
        ORDER BY d.created_at LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING {MODEL_COLUMNS}, m.check_tries
""")  # noqa: S608 - fixed text
_SETTLE = text("""
    UPDATE models SET state = :state, checker = NULL, checked_at = clock_timestamp(), error = CAST(:error AS jsonb),
        measured = measured || CAST(:measured AS jsonb)
    WHERE name = :name AND version = :version AND checker = :worker_id AND state = 'added'
""")
_GIVE_BACK = text("""
    UPDATE models SET checker = NULL, check_tries = check_tries - 1
    WHERE name = :name AND version = :version AND checker = :worker_id AND state = 'added'
""")


_NOT_MEASURED = text("""
    SELECT EXISTS (SELECT FROM models WHERE name = :name AND version = :version AND digest = :digest
        AND measured -> CAST(:place AS text) IS NULL)
""")
_MEASURED = text("""
    UPDATE models SET measured = measured || CAST(:measured AS jsonb)
    WHERE name = :name AND version = :version AND digest = :digest
""")


class ModelChecks:
    """What workers ask and answer about versions that wait for their check."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, worker_id: str, tasks: Sequence[str]) -> ModelVersion | None:
        """Give a live worker the oldest version to check, of these tasks; None when there is none.

        One whose check ended ``CHECK_TRIES`` workers is refused here.
        """
        with self._database.transaction() as connection:
            row = connection.execute(_TAKE, {"worker_id": worker_id, "tasks": list(tasks)}).one_or_none()
        if row is None:
            return None
        fields = dict(row._mapping)
        tries, found = fields.pop("check_tries"), ModelVersion(**fields)
        if tries <= CHECK_TRIES:
            return found
        message = (
            f"the check ended {CHECK_TRIES} worker processes: these weights crash or need more memory than there is"
        )
        self.settle(worker_id, found, CheckResult(error={"code": "model.check_died", "message": message}))
        return None

    def settle(self, worker_id: str, version: ModelVersion, result: CheckResult) -> bool:
        """Write what a check found, if it is still this worker's; the first version of a name that passes is active."""
        row = {
            "name": version.name,
            "version": version.version,
            "worker_id": worker_id,
            "state": "checked" if result.error is None else "refused",
            "error": None if result.error is None else dump(result.error),
            "measured": dump(result.measured),
        }
        with self._database.transaction() as connection:
            lock_name(connection, version.name)
            written = connection.execute(_SETTLE, row).rowcount > 0
            if (
                written
                and result.error is None
                and not any(one.active for one in versions_of(connection, version.name))
            ):
                switch(connection, version.name, version.version)
            return written

    def give_back(self, worker_id: str, version: ModelVersion) -> None:
        """Let another worker check it; nothing is charged."""
        row = {"name": version.name, "version": version.version, "worker_id": worker_id}
        with self._database.transaction() as connection:
            connection.execute(_GIVE_BACK, row)

    def lacks_figures(self, key: tuple[str, str, str], place: str) -> bool:
        """Return whether a version (name, version, digest) is known, and nothing was measured at this place yet."""
        row = dict(zip(("name", "version", "digest"), key, strict=True)) | {"place": place}
        with self._database.transaction() as connection:
            return bool(connection.execute(_NOT_MEASURED, row).scalar_one())

    def note_figures(self, key: tuple[str, str, str], measured: Mapping[str, Any]) -> None:
        """Add what was measured, by place, to a version (name, version, digest)."""
        row = dict(zip(("name", "version", "digest"), key, strict=True)) | {"measured": dump(measured)}
        with self._database.transaction() as connection:
            connection.execute(_MEASURED, row)
