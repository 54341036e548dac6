"""Many jobs in one transaction: rows, first segments and places in the lane, each kind in one statement."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage.creating import record_of
from storage.fairness import admit, step
from storage.ids import new_id
from storage.job import JobState, Priority
from storage.jsonb import dump
from storage.new_job import NewJob

#: (lane, size class) -> segments that wait there now
Made = Mapping[tuple[str, str], int]

_INSERT = text("""
    WITH made AS (
        INSERT INTO jobs (id, tenant, state, pipeline, spec_version, params, batch_key, lane, size_class, priority,
            metadata, input_key, input_size_bytes, input_etag, input_sha256, input_filename, input_content_type,
            input_source_url, upload_id, fingerprint, max_attempts, cost_seconds, run_after, expires_at,
            allow_partial, webhook_url, batch_id, pins, queued_at)
        SELECT g.*, CASE WHEN g.state = 'queued' THEN clock_timestamp() END
        FROM jsonb_to_recordset(CAST(:jobs AS jsonb)) AS g (
            id uuid, tenant text, state text, pipeline text, spec_version int, params jsonb, batch_key text, lane text,
            size_class text, priority text, metadata jsonb, input_key text, input_size_bytes bigint, input_etag text,
            input_sha256 text, input_filename text, input_content_type text, input_source_url text, upload_id uuid,
            fingerprint text, max_attempts int, cost_seconds double precision, run_after timestamptz,
            expires_at timestamptz, allow_partial boolean, webhook_url text, batch_id uuid, pins jsonb)
        RETURNING id, run, state
    )
    INSERT INTO job_events (job_id, run, kind, data)
    SELECT id, run, 'submitted', jsonb_build_object('state', state) FROM made ORDER BY id
""")

_INSERT_PLANS = text("""
    INSERT INTO segments (id, job_id, run, kind, state, tenant, pipeline, spec_version, batch_key, lane, size_class,
        tag, cost_seconds, max_attempts, run_after, ready_at)
    SELECT g.id, j.id, j.run, 'plan', due.state, j.tenant, j.pipeline, j.spec_version, j.batch_key, j.lane,
        j.size_class, g.tag::double precision, j.cost_seconds, j.max_attempts,
        CASE WHEN due.state = 'waiting' THEN j.run_after END,
        CASE WHEN due.state = 'ready' THEN clock_timestamp() END
    FROM jsonb_to_recordset(CAST(:plans AS jsonb)) AS g (id uuid, job_id uuid, tag text)
    JOIN jobs j ON j.id = g.job_id
    CROSS JOIN LATERAL (
        SELECT CASE WHEN j.run_after > clock_timestamp() THEN 'waiting' ELSE 'ready' END AS state) AS due
""")


def create_many(connection: Connection, news: Sequence[NewJob]) -> Made:
    """Insert jobs in the caller's transaction, which has taken their uploads; no idempotency keys here.

    Each flow moves on once, by the cost of all its jobs: they stand one behind the other, as if they had come singly.
    """
    if not news:
        return {}
    connection.execute(_INSERT, {"jobs": dump([_row(new) for new in news])})
    queued = [new for new in news if new.state is JobState.QUEUED]
    if queued:
        connection.execute(_INSERT_PLANS, {"plans": dump(_plans(connection, queued))})
    made: dict[tuple[str, str], int] = defaultdict(int)
    for new in queued:
        made[new.lane, new.size_class] += 1
    return made


def _plans(connection: Connection, news: Sequence[NewJob]) -> list[dict[str, Any]]:
    """One record per plan segment, with its tag; flows are moved in the order of their names, as everyone does."""
    flows: dict[tuple[str, str, str], list[NewJob]] = defaultdict(list)
    for new in news:
        flows[new.lane, new.tenant, new.priority.value].append(new)
    plans: list[dict[str, Any]] = []
    for (lane, tenant, name), jobs in sorted(flows.items()):
        priority = Priority(name)
        cost_seconds = sum(job.cost_seconds for job in jobs)
        tag = admit(connection, lane=lane, tenant=tenant, priority=priority, cost_seconds=cost_seconds)
        for job in jobs:
            # as text: JSON has no -infinity, the tag of urgent work
            plans.append({"id": new_id(), "job_id": job.id, "tag": repr(tag)})
            tag += step(priority, job.cost_seconds)
    return plans


def _row(new: NewJob) -> dict[str, Any]:
    instants = {"run_after": new.run_after, "expires_at": new.expires_at}
    return record_of(new) | {name: at.isoformat() if at else None for name, at in instants.items()}
