"""The end of a job, whoever brings it, and its way back to ``queued``.

Everyone who changes the segments of a job locks the job first (by id, where there are several). Claims, heartbeats
and the waking of due work do not: they lock segments alone, skip locked ones and never wait while holding any, so no
circle of waiting can close.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage.artifacts import Artifact
from storage.fingerprint import error_fingerprint
from storage.ids import new_id
from storage.job import TERMINAL_STATES, JobState
from storage.jsonb import dump
from storage.webhooks.event import INSERT_WEBHOOK


@dataclass(frozen=True, slots=True)
class LockedJob:
    """What a transaction that holds a job's row needs of it."""

    id: str
    run: int
    state: JobState
    segments_total: int
    segments_left: int
    timings: Mapping[str, float]
    warnings: Sequence[Mapping[str, Any]]
    models: Sequence[Mapping[str, Any]]
    allow_partial: bool = False
    missing_ranges: Sequence[Mapping[str, Any]] = ()

    @property
    def terminal(self) -> bool:
        """Whether this run has ended."""
        return self.state in TERMINAL_STATES


@dataclass(frozen=True, slots=True)
class JobEnd:
    """A terminal state and what goes with it."""

    job_id: str
    state: JobState
    error: Mapping[str, Any] | None = None
    summary: Mapping[str, Any] | None = None
    artifacts: Sequence[Artifact] = ()
    #: columns that the outcomes which end it change as well
    tally: Mapping[str, Any] = field(default_factory=dict)


_LOCK = text("""
    SELECT id::text AS id, run, state, segments_total, segments_left, timings, warnings, models, allow_partial,
        missing_ranges
    FROM jobs WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE
""")

# One statement: the state, the segments nobody needs any more, the webhook to be sent, and the events.
_END = text(f"""
    WITH given AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(CAST(:ends AS jsonb))
            AS g (job_id uuid, state text, error jsonb, summary jsonb, artifacts jsonb, fingerprint text,
                webhook_id uuid, segments_left int, charged int, frames int, timings jsonb, warnings jsonb,
                models jsonb, missing_ranges jsonb, input_sha256 text, progress double precision)
    ), ended AS (
        UPDATE jobs j SET
            state = g.state, error = g.error, summary = g.summary, artifacts = g.artifacts, stage = NULL,
            run_after = NULL,
            error_fingerprint = g.fingerprint,
            same_error_runs = CASE WHEN g.fingerprint IS NULL THEN 0
                WHEN g.fingerprint = j.error_fingerprint THEN j.same_error_runs + 1 ELSE 1 END,
            progress = CASE WHEN g.state = 'succeeded' THEN 1
                ELSE greatest(j.progress, g.progress) END,
            segments_left = coalesce(g.segments_left, j.segments_left), attempts = j.attempts + coalesce(g.charged, 0),
            frames = j.frames + coalesce(g.frames, 0), warnings = coalesce(g.warnings, j.warnings),
            models = coalesce(g.models, j.models), missing_ranges = coalesce(g.missing_ranges, j.missing_ranges),
            input_sha256 = coalesce(j.input_sha256, g.input_sha256),
            timings = coalesce(g.timings, j.timings)
                || jsonb_strip_nulls(jsonb_build_object(
                    'queue_seconds',
                    round(extract(epoch FROM coalesce(j.started_at, clock_timestamp()) - j.queued_at), 3),
                    'run_seconds', round(extract(epoch FROM clock_timestamp() - j.started_at), 3))),
            finished_at = clock_timestamp(), updated_at = clock_timestamp()
        FROM given g
        WHERE j.id = g.job_id AND j.state IN ('uploading', 'queued', 'running')
        RETURNING j.id, j.run, j.state, g.error ->> 'code' AS code, j.tenant, j.pipeline, j.metadata, j.error,
            j.batch_id, j.finished_at, j.webhook_url, g.webhook_id
    ), unfinished AS MATERIALIZED (
        SELECT s.id FROM segments s JOIN ended e ON s.job_id = e.id
        WHERE s.state IN ('waiting', 'ready', 'claimed') ORDER BY s.id FOR NO KEY UPDATE OF s
    ), dropped AS (
        UPDATE segments s SET
            state = 'dropped', claim_id = NULL, worker_id = NULL, run_after = NULL, finished_at = clock_timestamp()
        FROM unfinished u WHERE s.id = u.id
        RETURNING s.job_id
    ), webhooks AS ({INSERT_WEBHOOK})
    INSERT INTO job_events (job_id, run, kind, data)
    SELECT e.id, e.run, e.state, jsonb_strip_nulls(jsonb_build_object('code', e.code, 'dropped', d.count))
    FROM ended e LEFT JOIN (SELECT job_id, count(*) FROM dropped GROUP BY job_id) d ON d.job_id = e.id
    UNION ALL
    SELECT job_id, run, 'webhook', jsonb_build_object('event', id, 'state', state) FROM webhooks
    RETURNING job_id::text
""")  # noqa: S608 - fixed text

_REQUEUE = text("""
    WITH idle AS (
        UPDATE jobs j SET state = 'queued', stage = NULL, updated_at = clock_timestamp(), run_after = (
            SELECT CASE WHEN bool_or(s.state = 'ready') THEN NULL ELSE min(s.run_after) END
            FROM segments s WHERE s.job_id = j.id AND s.run = j.run AND s.state IN ('ready', 'waiting'))
        WHERE j.id = ANY(CAST(:ids AS uuid[])) AND j.state = 'running'
            AND NOT EXISTS (SELECT FROM segments s WHERE s.job_id = j.id AND s.state = ANY(CAST(:busy AS text[])))
        RETURNING j.id, j.run
    )
    INSERT INTO job_events (job_id, run, kind) SELECT id, run, 'queued' FROM idle
""")


def lock_jobs(connection: Connection, job_ids: Iterable[str]) -> dict[str, LockedJob]:
    """Lock the rows of these jobs, by id, until the transaction ends; those that are gone are left out."""
    rows = connection.execute(_LOCK, {"ids": sorted(set(job_ids))})
    return {row.id: LockedJob(**(row._asdict() | {"state": JobState(row.state)})) for row in rows}


def end_jobs(connection: Connection, ends: Sequence[JobEnd]) -> frozenset[str]:
    """End jobs that the caller has locked; drop their unfinished segments; return the ids of those not ended before."""
    if not ends:
        return frozenset()
    given = [
        {
            "job_id": end.job_id,
            "state": end.state.value,
            "error": end.error,
            "summary": end.summary,
            "artifacts": [artifact.as_json() for artifact in end.artifacts],
            "fingerprint": None if end.error is None else error_fingerprint(end.error),
            "webhook_id": new_id(),
            **end.tally,
        }
        for end in ends
    ]
    return frozenset(connection.execute(_END, {"ends": dump(given)}).scalars())


def requeue_idle(connection: Connection, job_ids: Iterable[str], *, after_result: bool = False) -> None:
    """Put running jobs that the caller has locked back to ``queued`` where no segment is claimed any more.

    After a result only those whose every other segment waits for its time: where one is ready, a job that is served
    by one worker would go to and fro between its segments.
    """
    busy = ["claimed", "ready"] if after_result else ["claimed"]
    connection.execute(_REQUEUE, {"ids": sorted(set(job_ids)), "busy": busy})
