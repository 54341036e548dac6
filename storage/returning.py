"""Segments that come back unfinished: pure decisions, and the one statement that carries them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage.fairness import RETURN_TAG
from storage.job import Bury, Failed, Fault, GiveBack, JobState, Retry, SegmentKind, SegmentState
from storage.jsonb import dump

#: errors kept on a segment, newest last
ERRORS_KEPT = 5


@dataclass(frozen=True, slots=True)
class HeldSegment:
    """A locked segment, as far as the decisions need it."""

    id: str
    job_id: str
    run: int
    kind: SegmentKind
    state: SegmentState
    frames: int
    attempts: int
    max_attempts: int
    holdups: int
    losses: int
    claim_size: int
    claim_id: str
    worker_id: str
    errors: Sequence[Mapping[str, Any]]
    index: int = 0
    start_pts: int | None = None
    end_pts: int | None = None


@dataclass(frozen=True, slots=True)
class Return:
    """How a segment comes back; ``ends`` is the state in which it ends its job."""

    segment_id: str
    job_id: str
    event: str
    state: SegmentState
    attempts: int
    holdups: int
    losses: int
    solo: bool = False
    delay_seconds: float = 0.0
    charged: bool = False
    #: only a loss leaves the claim_id in place, so that a result already on its way is accepted
    keeps_claim: bool = False
    error: Mapping[str, Any] | None = None
    errors: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    ends: JobState | None = None
    #: the job goes on without this segment
    missing: bool = False


def after(segment: HeldSegment, outcome: Failed | Retry | Bury | GiveBack) -> Return:
    """Decide what an outcome other than Done means for a segment."""
    if isinstance(outcome, GiveBack):
        return _again(segment, "given_back")
    error = outcome.fault.as_json()
    if isinstance(outcome, Failed):
        return _last(segment, "rejected", error, JobState.FAILED)
    if isinstance(outcome, Bury):
        return _last(segment, "buried", error, JobState.DEAD)
    if not outcome.charged:
        return _again(
            segment,
            "held_up",
            error,
            holdups=segment.holdups + 1,
            delay_seconds=outcome.delay_seconds,
            solo=outcome.solo,
        )
    if segment.attempts + 1 >= segment.max_attempts:
        return _last(segment, "buried", error, JobState.DEAD, charged=True)
    return _again(
        segment,
        "retried",
        error,
        attempts=segment.attempts + 1,
        holdups=0,
        delay_seconds=outcome.delay_seconds,
        solo=outcome.solo,
        charged=True,
    )


def after_loss_of_child(segment: HeldSegment, reason: str, stack: str | None = None) -> Return:
    """A child died while its host lives: whoever was alone with it is charged, company is suspected one by one."""
    error = _lost(segment, reason, stack)
    if segment.claim_size > 1:
        return _again(segment, "lost", error, solo=True, keeps_claim=True)
    if segment.attempts + 1 >= segment.max_attempts:
        return _last(segment, "buried", error, JobState.DEAD, charged=True)
    return _again(segment, "lost", error, attempts=segment.attempts + 1, solo=True, charged=True, keeps_claim=True)


def after_loss_of_host(segment: HeldSegment, reason: str, max_losses: int) -> Return:
    """A host fell silent: nobody is charged, but what is lost time and again is buried in the end."""
    error = _lost(segment, reason)
    if segment.losses + 1 >= max_losses:
        return _last(segment, "buried", error, JobState.DEAD)
    return _again(segment, "lost", error, losses=segment.losses + 1, solo=segment.claim_size > 1, keeps_claim=True)


def _lost(segment: HeldSegment, reason: str, stack: str | None = None) -> dict[str, Any]:
    advice = "Replay the job; if it happens again, look at the worker's log."
    return Fault("worker.lost", reason, advice=advice, stack=stack, worker=segment.worker_id).as_json()


def _again(segment: HeldSegment, event: str, error: Mapping[str, Any] | None = None, **changes: Any) -> Return:
    same = {"attempts": segment.attempts, "holdups": segment.holdups, "losses": segment.losses}
    state = SegmentState.WAITING if changes.get("delay_seconds", 0) > 0 else SegmentState.READY
    return Return(
        segment.id, segment.job_id, event, state, error=error, errors=_kept(segment, error), **(same | changes)
    )


def _last(
    segment: HeldSegment, event: str, error: Mapping[str, Any], ends: JobState, *, charged: bool = False
) -> Return:
    return Return(
        segment.id,
        segment.job_id,
        event,
        SegmentState.DEAD,
        attempts=segment.attempts + charged,
        holdups=segment.holdups,
        losses=segment.losses,
        charged=charged,
        error=error,
        errors=_kept(segment, error),
        ends=ends,
    )


def _kept(segment: HeldSegment, error: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    return segment.errors if error is None else [*segment.errors, error][-ERRORS_KEPT:]


_HELD = """
    SELECT s.id::text AS id, s.job_id::text AS job_id, s.run, s.kind, s.state, s.frames, s.attempts, s.max_attempts,
        s.holdups, s.losses, s.claim_size, s.claim_id::text AS claim_id, s.worker_id, s.errors, s.index, s.start_pts,
        s.end_pts
    FROM segments s WHERE s.id = ANY(CAST(:ids AS uuid[])) AND {condition} ORDER BY s.id FOR NO KEY UPDATE
"""
# A done segment of this very claim is found too: a finish that is repeated because its answer was lost says the same.
_HELD_BY_CLAIM = text(
    _HELD.format(
        condition="s.claim_id = CAST(:claim_id AS uuid) AND s.state IN ('claimed', 'ready', 'waiting', 'done')"
    )
)
_CLAIMED_BY_WORKER = text(_HELD.format(condition="s.worker_id = :worker_id AND s.state = 'claimed'"))

_WRITE = text(f"""
    WITH given AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(CAST(:returns AS jsonb)) AS g (
            segment_id uuid, event text, state text, attempts int, holdups int, losses int, solo boolean,
            delay_seconds double precision, charged boolean, keeps_claim boolean, error jsonb, errors jsonb,
            missing boolean)
    ), before AS MATERIALIZED (
        SELECT s.id, s.claim_id, s.worker_id FROM segments s JOIN given g ON s.id = g.segment_id
    ), changed AS (
        UPDATE segments s SET
            state = g.state, attempts = g.attempts, holdups = g.holdups, losses = g.losses, errors = g.errors,
            solo = s.solo OR g.solo,
            held_up_since = CASE
                WHEN g.event = 'held_up' THEN coalesce(s.held_up_since, clock_timestamp())
                WHEN g.event <> 'retried' THEN s.held_up_since END,
            run_after = CASE WHEN g.state = 'waiting'
                THEN clock_timestamp() + make_interval(secs => g.delay_seconds) END,
            tag = {RETURN_TAG},
            claim_id = CASE WHEN g.keeps_claim THEN s.claim_id END,
            worker_id = CASE WHEN g.keeps_claim THEN s.worker_id END,
            ready_at = CASE WHEN g.state = 'ready' THEN clock_timestamp() END,
            finished_at = CASE WHEN g.state = 'dead' THEN clock_timestamp() END
        FROM given g WHERE s.id = g.segment_id
        RETURNING s.id, s.job_id, s.run, s.lane, s.size_class, s.state, s.run_after, g.event, g.charged, g.error,
            g.missing
    ), noted AS (
        INSERT INTO job_events (job_id, run, kind, segment_id, claim_id, worker_id, data)
        SELECT c.job_id, c.run, c.event, c.id, b.claim_id, b.worker_id, jsonb_strip_nulls(jsonb_build_object(
            'code', c.error ->> 'code', 'message', c.error ->> 'message',
            'charged', CASE WHEN c.error IS NOT NULL THEN c.charged END, 'run_after', c.run_after,
            'missing', CASE WHEN c.missing THEN true END))
        FROM changed c JOIN before b ON b.id = c.id
    )
    SELECT DISTINCT lane, size_class FROM changed WHERE state = 'ready'
""")  # noqa: S608 - fixed text


def lock_held(connection: Connection, claim_id: str, segment_ids: Sequence[str]) -> dict[str, HeldSegment]:
    """Lock those of the segments on which this claim may still write."""
    rows = connection.execute(_HELD_BY_CLAIM, {"ids": sorted(segment_ids), "claim_id": claim_id})
    return {row.id: _held(row._asdict()) for row in rows}


def lock_claimed(connection: Connection, worker_id: str, segment_ids: Sequence[str]) -> dict[str, HeldSegment]:
    """Lock those of the segments that this worker holds."""
    rows = connection.execute(_CLAIMED_BY_WORKER, {"ids": sorted(segment_ids), "worker_id": worker_id})
    return {row.id: _held(row._asdict()) for row in rows}


def write_returns(connection: Connection, returns: Sequence[Return]) -> frozenset[tuple[str, str]]:
    """Carry out decisions on locked segments, with their events; return (lane, size_class) of those ready again."""
    if not returns:
        return frozenset()
    rows = connection.execute(_WRITE, {"returns": dump([asdict(item) for item in returns])})
    return frozenset((row.lane, row.size_class) for row in rows)


def _held(fields: dict[str, Any]) -> HeldSegment:
    return HeldSegment(
        **(fields | {"kind": SegmentKind(fields["kind"]), "state": SegmentState(fields["state"])}),
    )
