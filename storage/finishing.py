"""Writing the outcomes of a claim: what each does to its segment, to its job, and what follows from the last one."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage.ending import JobEnd, LockedJob, end_jobs, lock_jobs, requeue_idle
from storage.history import OUTCOME_WORDS, note_refused
from storage.ids import new_id
from storage.job import Bury, Claim, Done, Failed, GiveBack, JobState, Outcome, Retry, SegmentKind, SegmentState
from storage.jsonb import dump
from storage.returning import HeldSegment, Return, after, lock_held, write_returns

#: warnings kept on a job; a damaged two-hour video must not grow its row without bound
WARNINGS_KEPT = 100
#: progress of a run that has not ended never reads as complete
_ALMOST = 0.99
#: results first, then what ends a job, then what comes back
_ORDER = (Done, Failed, Bury, Retry, GiveBack)

_WRITE_DONE = text("""
    WITH given AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(CAST(:dones AS jsonb)) AS g (
            segment_id uuid, count int, size_bytes bigint, sha256 text, inline text, key text,
            timings jsonb, warnings jsonb, models jsonb)
    ), done AS (
        UPDATE segments s SET
            state = 'done', run_after = NULL, finished_at = clock_timestamp(),
            rows_count = g.count, rows_size_bytes = g.size_bytes, rows_sha256 = g.sha256,
            rows_inline = decode(g.inline, 'base64'), rows_key = g.key,
            timings = g.timings, warnings = g.warnings, models = g.models
        FROM given g WHERE s.id = g.segment_id
        RETURNING s.job_id, s.run, s.id, s.claim_id, s.worker_id, s.rows_count, s.rows_key, s.rows_sha256
    )
    INSERT INTO job_events (job_id, run, kind, segment_id, claim_id, worker_id, data)
    SELECT job_id, run, 'done', id, claim_id, worker_id, jsonb_strip_nulls(jsonb_build_object(
        'rows', rows_count, 'rows_key', rows_key, 'sha256', rows_sha256))
    FROM done
""")

_WRITE_JOBS = text("""
    UPDATE jobs j SET
        segments_left = g.segments_left, attempts = j.attempts + g.charged, frames = j.frames + g.frames,
        timings = g.timings, warnings = g.warnings, models = g.models,
        input_sha256 = coalesce(j.input_sha256, g.input_sha256), progress = greatest(j.progress, g.progress),
        updated_at = clock_timestamp()
    FROM jsonb_to_recordset(CAST(:jobs AS jsonb)) AS g (
        job_id uuid, segments_left int, charged int, frames int, timings jsonb, warnings jsonb, models jsonb,
        input_sha256 text, progress double precision)
    WHERE j.id = g.job_id
""")

# The unique place (job, run, kind, index) would refuse a second merge even if the counting went wrong.
INSERT_MERGE = text("""
    WITH merge AS (
        INSERT INTO segments (id, job_id, run, kind, state, tenant, pipeline, spec_version, batch_key, lane,
            size_class, tag, cost_seconds, frames, max_attempts, ready_at)
        SELECT CAST(:id AS uuid), job_id, run, 'merge', 'ready', tenant, pipeline, spec_version, batch_key, lane,
            size_class, tag, 1, 0, max_attempts, clock_timestamp()
        FROM segments WHERE id = CAST(:last_id AS uuid)
        RETURNING job_id, run, id
    )
    INSERT INTO job_events (job_id, run, kind, segment_id) SELECT job_id, run, 'merging', id FROM merge
""")


@dataclass(slots=True)
class JobTally:
    """What the outcomes of one finish add up to for one job."""

    segments_left: int
    timings: dict[str, float]
    warnings: list[Mapping[str, Any]]
    models: list[Mapping[str, Any]]
    frames: int = 0
    charged: int = 0
    input_sha256: str | None = None
    #: the segment after which nothing is left to infer; its run needs a merge
    last_infer: str | None = None
    end: JobEnd | None = None


@dataclass(slots=True)
class Settlement:
    """Everything one finish writes, decided before anything is written."""

    jobs: Mapping[str, LockedJob]
    tallies: dict[str, JobTally] = field(default_factory=dict)
    dones: list[Done] = field(default_factory=list)
    returns: list[Return] = field(default_factory=list)
    accepted: dict[str, bool] = field(default_factory=dict)


def finish(connection: Connection, claim: Claim, outcomes: Sequence[Outcome]) -> Mapping[str, bool]:
    """Write outcomes in the caller's transaction; see ``Claims.finish``."""
    homes = {segment.id: segment.job_id for segment in claim.segments}
    named = [outcome.segment_id for outcome in outcomes if outcome.segment_id in homes]
    jobs = lock_jobs(connection, (homes[segment_id] for segment_id in named))
    settlement = settle(jobs, lock_held(connection, claim.id, named), outcomes)
    _write(connection, settlement)
    refused = {
        outcome.segment_id: OUTCOME_WORDS[type(outcome)]
        for outcome in outcomes
        if not settlement.accepted[outcome.segment_id]
    }
    note_refused(connection, claim, refused)
    return settlement.accepted


def settle(jobs: Mapping[str, LockedJob], held: Mapping[str, HeldSegment], outcomes: Sequence[Outcome]) -> Settlement:
    """Decide, from locked rows alone, what a finish writes.

    Raises: ValueError when a merge segment, or the only infer segment of a run, is done without a summary, and when
    a plan segment is called done (plans are carried out by ``plan``).
    """
    settlement = Settlement(jobs)
    for outcome in sorted(outcomes, key=lambda outcome: _ORDER.index(type(outcome))):
        segment = held.get(outcome.segment_id)
        settlement.accepted[outcome.segment_id] = segment is not None and _settle_one(settlement, segment, outcome)
    return settlement


def _settle_one(settlement: Settlement, segment: HeldSegment, outcome: Outcome) -> bool:
    if segment.state is SegmentState.DONE:
        return isinstance(outcome, Done)
    job = settlement.jobs[segment.job_id]
    tally = settlement.tallies.setdefault(
        job.id, JobTally(job.segments_left, dict(job.timings), list(job.warnings), list(job.models))
    )
    if tally.end is not None:
        return False
    if isinstance(outcome, Done):
        _add_done(tally, job, segment, outcome)
        settlement.dones.append(outcome)
        return True
    back = after(segment, outcome)
    settlement.returns.append(back)
    tally.charged += back.charged
    if back.ends is not None:
        tally.end = JobEnd(job.id, back.ends, error=back.error)
    return True


def _add_done(tally: JobTally, job: LockedJob, segment: HeldSegment, done: Done) -> None:
    if segment.kind is SegmentKind.PLAN:
        raise ValueError(f"segment {segment.id} is a plan: carry it out")
    for stage, seconds in done.timings.items():
        tally.timings[stage] = round(tally.timings.get(stage, 0.0) + seconds, 6)
    tally.warnings.extend(warning for warning in done.warnings if warning not in tally.warnings)
    tally.models.extend(model for model in done.models if model not in tally.models)
    tally.input_sha256 = tally.input_sha256 or done.input_sha256
    if segment.kind is SegmentKind.INFER:
        tally.frames += segment.frames if done.rows is None else done.rows.count
        tally.segments_left -= 1
    ends_job = segment.kind is SegmentKind.MERGE or (segment.kind is SegmentKind.INFER and job.segments_total == 1)
    if ends_job and done.summary is None:
        raise ValueError(f"segment {segment.id} ends its job and must bring a summary")
    if ends_job:
        tally.end = JobEnd(job.id, JobState.SUCCEEDED, summary=done.summary)
    elif segment.kind is SegmentKind.INFER and tally.segments_left == 0:
        tally.last_infer = segment.id


def _write(connection: Connection, settlement: Settlement) -> None:
    if settlement.dones:
        connection.execute(_WRITE_DONE, {"dones": dump([_done_record(done) for done in settlement.dones])})
    write_returns(connection, settlement.returns)
    if settlement.tallies:
        records = [_job_record(settlement.jobs[job_id], tally) for job_id, tally in settlement.tallies.items()]
        connection.execute(_WRITE_JOBS, {"jobs": dump(records)})
    for tally in settlement.tallies.values():
        if tally.last_infer is not None and tally.end is None:
            connection.execute(INSERT_MERGE, {"id": new_id(), "last_id": tally.last_infer})
    ends = [tally.end for tally in settlement.tallies.values() if tally.end is not None]
    end_jobs(connection, ends)
    going_on = settlement.tallies.keys() - {end.job_id for end in ends}
    came_back = {back.job_id for back in settlement.returns} & going_on
    if came_back:
        requeue_idle(connection, came_back)
    if going_on - came_back:
        requeue_idle(connection, going_on - came_back, after_result=True)


def _done_record(done: Done) -> dict[str, Any]:
    record: dict[str, Any] = {
        "segment_id": done.segment_id,
        "timings": done.timings,
        "warnings": list(done.warnings)[:WARNINGS_KEPT],
        "models": done.models,
    }
    if done.rows is not None:
        inline = done.rows.inline
        record |= {
            "count": done.rows.count,
            "size_bytes": done.rows.size_bytes,
            "sha256": done.rows.sha256,
            "inline": None if inline is None else b64encode(inline).decode("ascii"),
            "key": done.rows.key,
        }
    return record


def _job_record(job: LockedJob, tally: JobTally) -> dict[str, Any]:
    whole = max(job.segments_total, 1)
    return {
        "job_id": job.id,
        "segments_left": tally.segments_left,
        "charged": tally.charged,
        "frames": tally.frames,
        "timings": tally.timings,
        "warnings": tally.warnings[:WARNINGS_KEPT],
        "models": tally.models,
        "input_sha256": tally.input_sha256,
        "progress": min(_ALMOST, (whole - tally.segments_left) / whole) if job.segments_total else 0.0,
    }
