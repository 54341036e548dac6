"""Carrying out a plan: the plan segment turns into the only infer segment, or makes way for several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage.claims import ClaimLost
from storage.ending import lock_jobs
from storage.fairness import correct, step
from storage.finishing import WARNINGS_KEPT
from storage.ids import new_id
from storage.job import Claim, ClaimedSegment, Priority, SegmentKind, SegmentPlan
from storage.jsonb import dump


@dataclass(frozen=True, slots=True)
class Plan:
    """What a planner found out about an input."""

    segments: Sequence[SegmentPlan]
    media: Mapping[str, Any]
    warnings: Sequence[Mapping[str, Any]]

    @property
    def cost_seconds(self) -> float:
        """Predicted work of the whole input."""
        return sum(part.cost_seconds for part in self.segments)


_LOCK = text("""
    SELECT s.kind, s.state, s.tag, s.cost_seconds, s.lane, s.tenant, j.priority
    FROM segments s JOIN jobs j ON j.id = s.job_id
    WHERE s.id = CAST(:id AS uuid) AND s.claim_id = CAST(:claim_id AS uuid) AND s.state IN ('claimed', 'done')
    FOR NO KEY UPDATE OF s
""")

_BECOME_INFER = text("""
    WITH planned AS (
        UPDATE segments SET
            kind = 'infer', start_pts = :start_pts, end_pts = :end_pts, frames = :frames, cost_seconds = :cost_seconds
        WHERE id = CAST(:id AS uuid)
        RETURNING job_id, run, id, claim_id, worker_id
    )
    INSERT INTO job_events (job_id, run, kind, segment_id, claim_id, worker_id, data)
    SELECT job_id, run, 'planned', id, claim_id, worker_id, jsonb_build_object('segments', 1) FROM planned
""")

_MAKE_WAY = text("""
    WITH planned AS (
        UPDATE segments SET state = 'done', finished_at = clock_timestamp()
        WHERE id = CAST(:id AS uuid)
        RETURNING *
    ), made AS (
        INSERT INTO segments (id, job_id, run, index, kind, state, tenant, pipeline, spec_version, batch_key, lane,
            size_class, tag, cost_seconds, start_pts, end_pts, frames, max_attempts, ready_at)
        SELECT g.id, p.job_id, p.run, g.index, 'infer', 'ready', p.tenant, p.pipeline, p.spec_version, p.batch_key,
            p.lane, p.size_class, p.tag + g.ahead, g.cost_seconds, g.start_pts, g.end_pts, g.frames, p.max_attempts,
            clock_timestamp()
        FROM planned p CROSS JOIN jsonb_to_recordset(CAST(:parts AS jsonb)) AS g (
            id uuid, index int, ahead double precision, cost_seconds double precision, start_pts bigint,
            end_pts bigint, frames int)
        RETURNING id
    )
    INSERT INTO job_events (job_id, run, kind, segment_id, claim_id, worker_id, data)
    SELECT job_id, run, 'planned', id, claim_id, worker_id,
        jsonb_build_object('segments', (SELECT count(*) FROM made))
    FROM planned
""")

_DESCRIBE_JOB = text("""
    UPDATE jobs SET
        segments_total = :count, segments_left = :count, media = CAST(:media AS jsonb),
        warnings = CAST(:warnings AS jsonb), cost_seconds = :cost_seconds, stage = 'infer',
        updated_at = clock_timestamp()
    WHERE id = CAST(:id AS uuid)
""")


def carry_out(connection: Connection, claim: Claim, segment_id: str, plan: Plan) -> ClaimedSegment | None:
    """Write a plan in the caller's transaction; see ``Claims.plan``. Repeating it after a lost answer changes nothing.

    Raises: ClaimLost, ValueError when the plan is empty.
    """
    if not plan.segments:
        raise ValueError("a plan has at least one segment")
    given = next((segment for segment in claim.segments if segment.id == segment_id), None)
    if given is None:
        raise ClaimLost(f"claim {claim.id} never held segment {segment_id}")
    jobs = lock_jobs(connection, [given.job_id])
    found = connection.execute(_LOCK, {"id": segment_id, "claim_id": claim.id}).one_or_none()
    if found is None or given.job_id not in jobs:
        raise ClaimLost(f"claim {claim.id} does not hold segment {segment_id} any more")
    several = len(plan.segments) > 1
    whole = replace(given, kind=SegmentKind.INFER, index=0, range=plan.segments[0], segments_total=1, media=plan.media)
    if found.kind == "infer" or found.state == "done":
        return None if found.state == "done" else whole
    priority = Priority(found.priority)
    if several:
        connection.execute(_MAKE_WAY, {"id": segment_id, "parts": dump(_parts(plan.segments, priority))})
    else:
        connection.execute(_BECOME_INFER, {"id": segment_id, **_range(plan.segments[0])})
    warnings = [*jobs[given.job_id].warnings, *plan.warnings][:WARNINGS_KEPT]
    _describe(connection, given.job_id, plan, warnings)
    correct(
        connection,
        lane=found.lane,
        tenant=found.tenant,
        priority=priority,
        tag=found.tag,
        predicted_seconds=found.cost_seconds,
        actual_seconds=plan.cost_seconds,
    )
    return None if several else whole


def _describe(connection: Connection, job_id: str, plan: Plan, warnings: Sequence[Mapping[str, Any]]) -> None:
    connection.execute(
        _DESCRIBE_JOB,
        {
            "id": job_id,
            "count": len(plan.segments),
            "media": dump(plan.media),
            "warnings": dump(warnings),
            "cost_seconds": plan.cost_seconds,
        },
    )


def _parts(segments: Sequence[SegmentPlan], priority: Priority) -> list[dict[str, Any]]:
    """One record per infer segment, each behind the cost of those before it; ids rise with the index."""
    parts: list[dict[str, Any]] = []
    ahead = 0.0
    for index, (part_id, part) in enumerate(zip(sorted(new_id() for _ in segments), segments, strict=True)):
        parts.append({"id": part_id, "index": index, "ahead": ahead, **_range(part)})
        ahead += step(priority, part.cost_seconds)
    return parts


def _range(part: SegmentPlan) -> dict[str, Any]:
    return {
        "start_pts": part.start_pts,
        "end_pts": part.end_pts,
        "frames": part.frames,
        "cost_seconds": part.cost_seconds,
    }
