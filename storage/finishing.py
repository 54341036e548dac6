"""Writing the outcomes of a claim: what each does to its segment, to its job, and what follows from the last one."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage.ending import LockedJob, end_jobs, lock_jobs, requeue_idle
from storage.history import OUTCOME_WORDS, note_refused
from storage.ids import new_id
from storage.job import Claim, Done, Outcome
from storage.jsonb import dump
from storage.returning import lock_held, write_returns
from storage.settling import JobTally, Settlement, settle

#: warnings kept on a job; a damaged two-hour video must not grow its row without bound
WARNINGS_KEPT = 100
#: progress of a run that has not ended never reads as complete
_ALMOST = 0.99

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
        timings = g.timings, warnings = g.warnings, models = g.models, missing_ranges = g.missing_ranges,
        input_sha256 = coalesce(j.input_sha256, g.input_sha256), progress = greatest(j.progress, g.progress),
        updated_at = clock_timestamp()
    FROM jsonb_to_recordset(CAST(:jobs AS jsonb)) AS g (
        job_id uuid, segments_left int, charged int, frames int, timings jsonb, warnings jsonb, models jsonb,
        missing_ranges jsonb, input_sha256 text, progress double precision)
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


def finish(connection: Connection, claim: Claim, outcomes: Sequence[Outcome]) -> Mapping[str, bool]:
    """Write outcomes in the caller's transaction; see ``Claims.finish``."""
    homes = {segment.id: segment.job_id for segment in claim.segments}
    named = [outcome.segment_id for outcome in outcomes if outcome.segment_id in homes]
    jobs = lock_jobs(connection, (homes[segment_id] for segment_id in named))
    settlement = settle(jobs, lock_held(connection, claim.id, named), outcomes)
    write(connection, settlement)
    refused = {
        outcome.segment_id: OUTCOME_WORDS[type(outcome)]
        for outcome in outcomes
        if not settlement.accepted[outcome.segment_id]
    }
    note_refused(connection, claim, refused)
    return settlement.accepted


def write(connection: Connection, settlement: Settlement) -> frozenset[tuple[str, str]]:
    """Carry out decisions on locked rows; return (lane, size_class) of segments that are ready again."""
    if settlement.dones:
        connection.execute(_WRITE_DONE, {"dones": dump([_done_record(done) for done in settlement.dones])})
    lanes = write_returns(connection, settlement.returns)
    records = {job_id: _job_record(settlement.jobs[job_id], tally) for job_id, tally in settlement.tallies.items()}
    going_on = {job_id for job_id, tally in settlement.tallies.items() if tally.end is None}
    if going_on:
        connection.execute(_WRITE_JOBS, {"jobs": dump([records[job_id] for job_id in sorted(going_on)])})
    for tally in settlement.tallies.values():
        if tally.last_infer is not None and tally.end is None:
            connection.execute(INSERT_MERGE, {"id": new_id(), "last_id": tally.last_infer})
    # a job that ends takes its tally along: one new version of its row instead of two
    ends = [replace(end, tally=records[end.job_id]) for tally in settlement.tallies.values() if (end := tally.end)]
    end_jobs(connection, ends)
    came_back = {back.job_id for back in settlement.returns if not back.missing} & going_on
    if came_back:
        requeue_idle(connection, came_back)
    if going_on - came_back:
        requeue_idle(connection, going_on - came_back, after_result=True)
    return lanes


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
        "missing_ranges": tally.missing,
        "models": tally.models,
        "input_sha256": tally.input_sha256,
        "progress": min(_ALMOST, (whole - tally.segments_left) / whole) if job.segments_total else 0.0,
    }
