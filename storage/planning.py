"""Carrying out plans: a plan segment turns into the only infer segment, or makes way for several.

Each statement serves all plans of the claim at once, so that a batch of stills costs one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection, Row

from storage.claims import Plan, Planned
from storage.ending import LockedJob, lock_jobs
from storage.fairness import Correction, correct, step
from storage.finishing import WARNINGS_KEPT
from storage.history import note_refused
from storage.ids import new_id
from storage.job import Claim, ClaimedSegment, Priority, SegmentKind, SegmentPlan
from storage.jsonb import dump


@dataclass(frozen=True, slots=True)
class Due:
    """A plan whose segment is locked and still waits for it."""

    segment: ClaimedSegment
    plan: Plan
    job: LockedJob
    priority: Priority
    tag: float
    predicted_seconds: float


_LOCK = text("""
    SELECT s.id::text AS id, s.kind, s.state, s.tag, s.cost_seconds, j.priority
    FROM segments s JOIN jobs j ON j.id = s.job_id
    WHERE s.id = ANY(CAST(:ids AS uuid[])) AND s.claim_id = CAST(:claim_id AS uuid) AND s.state IN ('claimed', 'done')
    ORDER BY s.id FOR NO KEY UPDATE OF s
""")

_BECOME_INFER = text("""
    WITH planned AS (
        UPDATE segments s SET
            kind = 'infer', start_pts = g.start_pts, end_pts = g.end_pts, frames = g.frames,
            cost_seconds = g.cost_seconds
        FROM jsonb_to_recordset(CAST(:parts AS jsonb)) AS g (
            plan_id uuid, cost_seconds double precision, start_pts bigint, end_pts bigint, frames int)
        WHERE s.id = g.plan_id
        RETURNING s.job_id, s.run, s.id, s.claim_id, s.worker_id
    )
    INSERT INTO job_events (job_id, run, kind, segment_id, claim_id, worker_id, data)
    SELECT job_id, run, 'planned', id, claim_id, worker_id, jsonb_build_object('segments', 1) FROM planned
""")

_MAKE_WAY = text("""
    WITH given AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(CAST(:parts AS jsonb)) AS g (
            plan_id uuid, id uuid, index int, ahead double precision, cost_seconds double precision, start_pts bigint,
            end_pts bigint, frames int)
    ), planned AS (
        UPDATE segments SET state = 'done', finished_at = clock_timestamp()
        WHERE id IN (SELECT plan_id FROM given)
        RETURNING *
    ), made AS (
        INSERT INTO segments (id, job_id, run, index, kind, state, tenant, pipeline, spec_version, batch_key, lane,
            size_class, tag, cost_seconds, start_pts, end_pts, frames, max_attempts, ready_at)
        SELECT g.id, p.job_id, p.run, g.index, 'infer', 'ready', p.tenant, p.pipeline, p.spec_version, p.batch_key,
            p.lane, p.size_class, p.tag + g.ahead, g.cost_seconds, g.start_pts, g.end_pts, g.frames, p.max_attempts,
            clock_timestamp()
        FROM planned p JOIN given g ON g.plan_id = p.id
    )
    INSERT INTO job_events (job_id, run, kind, segment_id, claim_id, worker_id, data)
    SELECT job_id, run, 'planned', id, claim_id, worker_id,
        jsonb_build_object('segments', (SELECT count(*) FROM given g WHERE g.plan_id = planned.id))
    FROM planned
""")

_DESCRIBE_JOBS = text("""
    UPDATE jobs j SET
        segments_total = g.count, segments_left = g.count, media = g.media, warnings = g.warnings,
        cost_seconds = g.cost_seconds, stage = 'infer', updated_at = clock_timestamp(),
        input_sha256 = coalesce(j.input_sha256, g.input_sha256)
    FROM jsonb_to_recordset(CAST(:jobs AS jsonb)) AS g (
        job_id uuid, count int, media jsonb, warnings jsonb, input_sha256 text,
        cost_seconds double precision)
    WHERE j.id = g.job_id
""")


def carry_out(connection: Connection, claim: Claim, plans: Mapping[str, Plan]) -> Planned:
    """Write plans in the caller's transaction; see ``Claims.plan_all``.

    Repeating it after a lost answer changes nothing. Raises: ValueError when a plan has no part.
    """
    if not all(plan.segments for plan in plans.values()):
        raise ValueError("a plan has at least one segment")
    given = {segment.id: segment for segment in claim.segments if segment.id in plans}
    jobs = lock_jobs(connection, (segment.job_id for segment in given.values()))
    found = {row.id: row for row in connection.execute(_LOCK, {"ids": sorted(given), "claim_id": claim.id})}
    lost = frozenset(plans) - found.keys()
    due = [
        _due(segment, plans[segment.id], jobs[segment.job_id], found[segment.id])
        for segment in given.values()
        if segment.id in found and found[segment.id].kind == "plan" and found[segment.id].state == "claimed"
    ]
    _write(connection, due)
    note_refused(connection, claim, dict.fromkeys(lost & given.keys(), "plan"))
    cut = {row.id for row in found.values() if row.state == "done"} | {
        one.segment.id for one in due if len(one.plan.segments) > 1
    }
    infers = {segment_id: _whole(given[segment_id], plans[segment_id]) for segment_id in found.keys() - cut}
    return Planned(infers, frozenset(cut), lost)


def _due(segment: ClaimedSegment, plan: Plan, job: LockedJob, row: Row[Any]) -> Due:
    return Due(segment, plan, job, Priority(row.priority), row.tag, row.cost_seconds)


def _whole(segment: ClaimedSegment, plan: Plan) -> ClaimedSegment:
    """The plan segment as the only infer segment of its job."""
    first = plan.segments[0]
    return replace(segment, kind=SegmentKind.INFER, index=0, range=first, segments_total=1, media=plan.media)


def _write(connection: Connection, due: Sequence[Due]) -> None:
    if not due:
        return
    single = [one for one in due if len(one.plan.segments) == 1]
    if single:
        parts = [{"plan_id": one.segment.id, **_range(one.plan.segments[0])} for one in single]
        connection.execute(_BECOME_INFER, {"parts": dump(parts)})
    several = [part for one in due if len(one.plan.segments) > 1 for part in _parts(one)]
    if several:
        connection.execute(_MAKE_WAY, {"parts": dump(several)})
    connection.execute(_DESCRIBE_JOBS, {"jobs": dump([_description(one) for one in due])})
    correct(connection, [_correction(one) for one in due])


def _description(one: Due) -> dict[str, Any]:
    return {
        "job_id": one.job.id,
        "count": len(one.plan.segments),
        "media": one.plan.media,
        "warnings": [*one.job.warnings, *one.plan.warnings][:WARNINGS_KEPT],
        "input_sha256": one.plan.input_sha256,
        "cost_seconds": one.plan.cost_seconds,
    }


def _correction(one: Due) -> Correction:
    return Correction(
        lane=one.segment.lane,
        tenant=one.segment.tenant,
        priority=one.priority,
        tag=one.tag,
        predicted_seconds=one.predicted_seconds,
        actual_seconds=one.plan.cost_seconds,
    )


def _parts(one: Due) -> list[dict[str, Any]]:
    """One record per infer segment, each behind the cost of those before it; ids rise with the index."""
    parts: list[dict[str, Any]] = []
    ahead = 0.0
    ids = sorted(new_id() for _ in one.plan.segments)
    for index, (part_id, part) in enumerate(zip(ids, one.plan.segments, strict=True)):
        parts.append({"plan_id": one.segment.id, "id": part_id, "index": index, "ahead": ahead, **_range(part)})
        ahead += step(one.priority, part.cost_seconds)
    return parts


def _range(part: SegmentPlan) -> dict[str, Any]:
    return {
        "start_pts": part.start_pts,
        "end_pts": part.end_pts,
        "frames": part.frames,
        "cost_seconds": part.cost_seconds,
    }
