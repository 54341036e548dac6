"""Pages of a tenant's jobs, by keyset on the id: a page costs the same however deep it lies."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage.answers import JobFilter, Page
from storage.errors import CursorInvalid
from storage.ids import is_id
from storage.job import Job
from storage.job_rows import JOB_COLUMNS, job_from_row
from storage.jsonb import dump

# Goes from tenant to tenant along the index of those that wait, so that one's flood hides nobody behind it.
_UPLOADING = text(f"""
    WITH RECURSIVE waiting AS (
        (SELECT tenant FROM jobs WHERE state = 'uploading' ORDER BY tenant LIMIT 1)
        UNION ALL
        SELECT next.tenant FROM waiting CROSS JOIN LATERAL (
            SELECT j.tenant FROM jobs j WHERE j.state = 'uploading' AND j.tenant > waiting.tenant
            ORDER BY j.tenant LIMIT 1) AS next
    )
    SELECT {JOB_COLUMNS} FROM waiting CROSS JOIN LATERAL (
        SELECT *, row_number() OVER (ORDER BY j.id) AS turn FROM jobs j
        WHERE j.state = 'uploading' AND j.tenant = waiting.tenant ORDER BY j.id LIMIT :limit) AS jobs
    ORDER BY jobs.turn, jobs.id LIMIT :limit
""")  # noqa: S608 - fixed text


def uploading(connection: Connection, limit: int) -> Sequence[Job]:
    """Return jobs that wait for their input, of each tenant in turn the oldest."""
    return [job_from_row(row) for row in connection.execute(_UPLOADING, {"limit": limit})]


def page(connection: Connection, tenant: str, where: JobFilter, *, cursor: str | None, limit: int) -> Page:
    """Return one page, newest first. Raises: CursorInvalid."""
    conditions, values = _conditions(where)
    if cursor is not None:
        if not is_id(cursor):
            raise CursorInvalid("the cursor is not one that a listing returned")
        conditions.append("jobs.id < CAST(:cursor AS uuid)")
    statement = text(
        f"SELECT {JOB_COLUMNS} FROM jobs WHERE {' AND '.join(['jobs.tenant = :tenant', *conditions])} "  # noqa: S608 - fixed text
        "ORDER BY jobs.id DESC LIMIT :limit"
    )
    rows = connection.execute(statement, values | {"tenant": tenant, "cursor": cursor, "limit": limit + 1}).all()
    jobs = [job_from_row(row) for row in rows[:limit]]
    return Page(jobs, next_cursor=jobs[-1].id if len(rows) > limit else None)


def _conditions(where: JobFilter) -> tuple[list[str], dict[str, Any]]:
    conditions: list[str] = []
    values: dict[str, Any] = {}
    if where.states is not None:
        conditions.append("jobs.state = ANY(CAST(:states AS text[]))")
        values["states"] = [state.value for state in where.states]
    if where.pipeline is not None:
        conditions.append("jobs.pipeline = :pipeline")
        values["pipeline"] = where.pipeline
    if where.batch_id is not None:
        # what names no batch finds nothing
        conditions.append("jobs.batch_id = CAST(:batch_id AS uuid)" if is_id(where.batch_id) else "false")
        values["batch_id"] = where.batch_id
    if where.created_after is not None:
        conditions.append("jobs.created_at > :created_after")
        values["created_after"] = where.created_after
    if where.created_before is not None:
        conditions.append("jobs.created_at < :created_before")
        values["created_before"] = where.created_before
    for number, (name, wanted) in enumerate((where.metadata or {}).items()):
        # The first half is the predicate of the index.
        alternatives = [dump({name: value}) for value in _readings(wanted)]
        parts = [f"jobs.metadata @> CAST(:metadata_{number}_{index} AS jsonb)" for index in range(len(alternatives))]
        conditions.append(f"jobs.metadata <> '{{}}' AND ({' OR '.join(parts)})")
        values |= {f"metadata_{number}_{index}": value for index, value in enumerate(alternatives)}
    return conditions, values


def _readings(wanted: str) -> list[Any]:
    """A filter comes as text; ``3`` finds both "3" and 3."""
    readings: list[Any] = [wanted]
    with contextlib.suppress(ValueError):
        value = json.loads(wanted)
        if value is None or isinstance(value, bool | int | float):
            readings.append(value)
    return readings
