"""Dead letters as operators see them: grouped by their error, and one by one with what broke."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection, Row

from storage.audit import Actor
from storage.database import Database
from storage.dead.discarding import discard
from storage.dead.filter import DeadFilter, Refusal, input_is_gone, refusal
from storage.errors import CursorInvalid
from storage.ids import is_id


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """Dead letters that ended with one error."""

    #: None: dead since before fingerprints were made
    fingerprint: str | None
    code: str | None
    message: str | None
    jobs: int
    pipelines: Sequence[str]
    tenants: Sequence[str]
    first_at: datetime
    last_at: datetime
    #: the most runs in a row that one of them ended with this error
    same_error_runs: int
    example_job_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class DeadGroups:
    """The largest groups, and how many there are in all."""

    groups: Sequence[DeadGroup]
    groups_total: int
    jobs_total: int


@dataclass(frozen=True, slots=True)
class DeadSegment:
    """The segment that ended its job."""

    index: int
    kind: str
    start_pts: int | None
    end_pts: int | None
    frames: int
    attempts: int


@dataclass(frozen=True, slots=True)
class DeadJob:
    """One dead letter."""

    id: str
    tenant: str
    run: int
    pipeline: str
    params: Mapping[str, Any]
    fingerprint: str | None
    same_error_runs: int
    finished_at: datetime
    media: Mapping[str, Any] | None
    #: newest last, with worker, its host and the stack where they are known
    errors: Sequence[Mapping[str, Any]]
    segment: DeadSegment | None
    input_key: str | None
    input_source_url: str | None
    input_filename: str | None
    input_size_bytes: int | None
    input_deleted_at: datetime | None

    @property
    def input_state(self) -> str:
        """``stored``, ``deleted``, ``remote`` (never fetched, will be) or ``missing``."""
        if self.input_deleted_at is not None:
            return "deleted"
        if self.input_key is not None:
            return "stored"
        return "remote" if self.input_source_url is not None else "missing"

    @property
    def refusal(self) -> Refusal | None:
        """Why an order without ``force`` would not replay it."""
        gone = input_is_gone(key=self.input_key, source_url=self.input_source_url, deleted_at=self.input_deleted_at)
        return refusal(gone=gone, same_error_runs=self.same_error_runs)


@dataclass(frozen=True, slots=True)
class DeadPage:
    """Dead letters, newest job first, and the cursor for the next page."""

    jobs: Sequence[DeadJob]
    next_cursor: str | None


# The counting is answered by the index alone, and first by what there are few of; code and message of a group are
# those of its newest job.
_GROUPS = """
    WITH counted AS MATERIALIZED (
        SELECT j.error_fingerprint AS fingerprint, j.pipeline, j.tenant, count(*) AS jobs,
            min(j.finished_at) AS first_at, max(j.finished_at) AS last_at,
            max(j.same_error_runs) AS same_error_runs, max(j.id::text) AS newest
        FROM jobs j WHERE {condition} GROUP BY j.error_fingerprint, j.pipeline, j.tenant
    ), largest AS MATERIALIZED (
        SELECT c.fingerprint, sum(c.jobs)::bigint AS jobs, array_agg(DISTINCT c.pipeline) AS pipelines,
            array_agg(DISTINCT c.tenant) AS tenants, min(c.first_at) AS first_at, max(c.last_at) AS last_at,
            max(c.same_error_runs) AS same_error_runs, max(c.newest) AS newest,
            count(*) OVER () AS groups_total, (sum(sum(c.jobs)) OVER ())::bigint AS jobs_total
        FROM counted c GROUP BY c.fingerprint ORDER BY jobs DESC, last_at DESC LIMIT :limit
    )
    SELECT l.*, e.error_code AS code, e.error ->> 'message' AS message, ARRAY(
        SELECT j.id::text FROM jobs j WHERE {condition} AND j.error_fingerprint = l.fingerprint
        ORDER BY j.id DESC LIMIT 3) AS example_job_ids
    FROM largest l JOIN jobs e ON e.id = CAST(l.newest AS uuid) ORDER BY l.jobs DESC, l.last_at DESC
"""

_PAGE = """
    WITH page AS MATERIALIZED (
        SELECT j.* FROM jobs j WHERE {condition} AND (CAST(:cursor AS uuid) IS NULL OR j.id < CAST(:cursor AS uuid))
        ORDER BY j.id DESC LIMIT :limit
    )
    SELECT p.id::text AS id, p.tenant, p.run, p.pipeline, p.params, p.error_fingerprint AS fingerprint,
        p.same_error_runs, p.finished_at, p.media, p.error, p.input_key, p.input_source_url, p.input_filename,
        p.input_size_bytes, p.input_deleted_at, s.index AS place, s.kind, s.start_pts, s.end_pts, s.frames,
        s.attempts, s.errors
    FROM page p LEFT JOIN LATERAL (
        SELECT * FROM segments s WHERE s.job_id = p.id AND s.run = p.run AND s.state = 'dead'
        ORDER BY s.finished_at DESC NULLS LAST, s.index LIMIT 1) AS s ON true
    ORDER BY p.id DESC
"""

# Rows of workers that are gone live a day.
_HOSTS = text("SELECT id, host FROM workers WHERE id = ANY(CAST(:ids AS text[]))")

_PIPELINES = "SELECT DISTINCT j.pipeline FROM jobs j WHERE {condition} ORDER BY 1"


class DeadLetters:
    """What a tenant, or an operator, may see and throw away of its dead letters."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def groups(self, where: DeadFilter, *, limit: int = 100) -> DeadGroups:
        """Largest first."""
        condition, values = where.conditions()
        with self._database.transaction() as connection:
            rows = connection.execute(text(_GROUPS.format(condition=condition)), values | {"limit": limit}).all()
        groups = [DeadGroup(**{name: row._mapping[name] for name in DeadGroup.__dataclass_fields__}) for row in rows]
        return DeadGroups(groups, rows[0].groups_total if rows else 0, rows[0].jobs_total if rows else 0)

    def page(self, where: DeadFilter, *, cursor: str | None, limit: int) -> DeadPage:
        """Newest job first. Raises: CursorInvalid."""
        if cursor is not None and not is_id(cursor):
            raise CursorInvalid("the cursor is not one that a listing returned")
        condition, values = where.conditions()
        values |= {"cursor": cursor, "limit": limit + 1}
        with self._database.transaction() as connection:
            rows = connection.execute(text(_PAGE.format(condition=condition)), values).all()
            hosts = _hosts(connection, rows)
        jobs = [_job(row, hosts) for row in rows[:limit]]
        return DeadPage(jobs, jobs[-1].id if len(rows) > limit else None)

    def pipelines(self, where: DeadFilter) -> Sequence[str]:
        """Names of the pipelines that the dead letters are of."""
        condition, values = where.conditions()
        with self._database.transaction() as connection:
            return connection.execute(text(_PIPELINES.format(condition=condition)), values).scalars().all()

    def discard(self, where: DeadFilter, *, by: Actor) -> int:
        """Take dead letters off the lists, for good unless one is replayed by its id; return how many."""
        return discard(self._database, where, by)


def _errors(row: Row[Any]) -> list[dict[str, Any]]:
    return list(row.errors or ([row.error] if row.error else []))


def _hosts(connection: Connection, rows: Sequence[Row[Any]]) -> Mapping[str, str]:
    ids = {error["worker"] for row in rows for error in _errors(row) if error.get("worker")}
    if not ids:
        return {}
    return {row.id: row.host for row in connection.execute(_HOSTS, {"ids": sorted(ids)})}


def _job(row: Row[Any], hosts: Mapping[str, str]) -> DeadJob:
    fields = row._mapping
    errors = [
        error | ({"host": hosts[error["worker"]]} if error.get("worker") in hosts else {}) for error in _errors(row)
    ]
    segment = None
    if row.place is not None:
        segment = DeadSegment(
            index=row.place,
            kind=row.kind,
            start_pts=row.start_pts,
            end_pts=row.end_pts,
            frames=row.frames,
            attempts=row.attempts,
        )
    return DeadJob(
        segment=segment,
        errors=errors,
        **{name: fields[name] for name in DeadJob.__dataclass_fields__ if name not in {"segment", "errors"}},
    )
