"""A new run of a job that has ended: what it keeps, what it does again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection, Row

from storage.creating import enqueue
from storage.ending import lock_jobs
from storage.errors import InputGone, JobNotFound, StateConflict
from storage.fairness import admit, step
from storage.finishing import INSERT_MERGE
from storage.ids import new_id
from storage.job import JobState, Priority
from storage.jsonb import dump
from storage.model_rows import Pins


@dataclass(frozen=True, slots=True)
class NewParams:
    """Parameters that replace those of the earlier run."""

    params: Mapping[str, Any]
    batch_key: str
    #: models that they name, see ``NewJob``
    pins: Pins = field(default_factory=dict)

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> NewParams:
        """Read what ``web`` worked out for one pipeline: params, batch_key, and pins where there are any."""
        return cls(stored["params"], stored["batch_key"], stored.get("pins") or {})


_READ = text("""
    SELECT j.id::text AS id, j.lane, j.tenant, j.priority, j.cost_seconds, j.params, j.batch_key, j.pins, j.input_key,
        j.input_source_url, j.input_deleted_at, j.results_deleted_at,
        count(s.id) FILTER (WHERE s.kind = 'plan') AS plans,
        count(s.id) FILTER (WHERE s.kind = 'infer') AS infers,
        count(s.id) FILTER (WHERE s.kind = 'infer' AND s.state <> 'done') AS undone
    FROM jobs j LEFT JOIN segments s ON s.job_id = j.id AND s.run = j.run
    WHERE j.id = CAST(:id AS uuid) GROUP BY j.id
""")

_NEW_RUN = """
    WITH replayed AS (
        UPDATE jobs SET
            run = run + 1, state = :state, params = CAST(:params AS jsonb), batch_key = :batch_key,
            pins = CAST(:pins AS jsonb),
            summary = NULL, error = NULL, stage = NULL, attempts = 0, run_after = NULL, expires_at = NULL,
            missing_ranges = '[]', artifacts = '[]', discarded_at = NULL, discarded_by = NULL,
            results_deleted_at = NULL,
            queued_at = CASE WHEN :state = 'queued' THEN clock_timestamp() END, started_at = NULL, finished_at = NULL,
            updated_at = clock_timestamp(), {kept}
        WHERE id = CAST(:id AS uuid)
        RETURNING id, run
    )
    INSERT INTO job_events (job_id, run, kind, data)
    SELECT id, run, 'replayed', CAST(:note AS jsonb)
        || jsonb_build_object('from', :before, 'kept', CAST(:kept AS boolean)) FROM replayed
"""
_AFRESH = text(
    _NEW_RUN.format(
        kept="""segments_total = 0, segments_left = 0, progress = 0, frames = 0, media = NULL,
            warnings = '[]', models = '[]', timings = '{}'"""
    )
)
# Timings keep what the kept segments cost, not how long the earlier run stood in the queue; and whether this run will
# be a partial one is not known yet.
_KEEPING = text(
    _NEW_RUN.format(
        kept="""segments_left = :undone, timings = timings - 'queue_seconds' - 'run_seconds',
            warnings = jsonb_path_query_array(warnings, '$[*] ? (!(@.code == "result.partial"))'),
            progress = CASE WHEN segments_total > 0 THEN (segments_total - :undone)::float8 / segments_total * 0.99
                ELSE 0 END"""
    )
)

# The rows stay, for who asks what went wrong; their result objects are named by nobody now, and are swept.
_DROP_ALL = text("""
    UPDATE segments SET
        state = 'dropped', claim_id = NULL, worker_id = NULL, rows_count = NULL, rows_size_bytes = NULL,
        rows_sha256 = NULL, rows_inline = NULL, rows_key = NULL
    WHERE job_id = CAST(:id AS uuid) AND state <> 'dropped'
        OR job_id = CAST(:id AS uuid) AND rows_count IS NOT NULL
""")

_DELETE_MERGES = text("DELETE FROM segments WHERE job_id = CAST(:id AS uuid) AND run = :run AND kind = 'merge'")

_MOVE_DONE = text("""
    UPDATE segments SET run = run + 1 WHERE job_id = CAST(:id AS uuid) AND run = :run AND state = 'done'
""")

# A fresh budget, but what was held alone stays alone: it may be poison.
_MOVE_UNDONE = text("""
    WITH due AS MATERIALIZED (
        SELECT id, sum(cost_seconds) OVER (ORDER BY index, id) - cost_seconds AS ahead
        FROM segments WHERE job_id = CAST(:id AS uuid) AND run = :run AND state <> 'done'
    )
    UPDATE segments s SET
        run = s.run + 1, state = 'ready', tag = :tag + due.ahead * :tag_per_second, attempts = 0, holdups = 0,
        losses = 0, held_up_since = NULL, run_after = NULL, claim_id = NULL, worker_id = NULL, finished_at = NULL,
        ready_at = clock_timestamp(), progress_done = 0, progress_total = 0
    FROM due WHERE s.id = due.id
""")

_UNDONE_COST = text("""
    SELECT coalesce(sum(cost_seconds), 0) FROM segments
    WHERE job_id = CAST(:id AS uuid) AND run = :run AND state <> 'done' AND kind <> 'merge'
""")

_LAST_INFER = text("""
    SELECT id::text FROM segments WHERE job_id = CAST(:id AS uuid) AND run = :run AND kind = 'infer'
    ORDER BY index DESC LIMIT 1
""")


def replay(
    connection: Connection, job_id: str, changed: NewParams | None, *, note: Mapping[str, Any] | None = None
) -> None:
    """Start a new run in the caller's transaction; see ``JobStore.replay``. ``note`` goes into the event."""
    job = lock_jobs(connection, [job_id]).get(job_id)
    if job is None:  # erased while we waited for it
        raise JobNotFound(f"no job {job_id}")
    if not job.terminal:
        raise StateConflict(f"job {job_id} is {job.state}; only a job that has ended can be replayed")
    row = connection.execute(_READ, {"id": job_id}).one()
    # What was there once and was deleted is not fetched a second time: it need not be the same.
    if row.input_deleted_at is not None or (row.input_key is None and row.input_source_url is None):
        raise InputGone(f"the input of job {job_id} was deleted")
    # The same parameters mean the same work: it keeps its models, whatever is active by now.
    same = NewParams(row.params, row.batch_key, row.pins)
    params = same if changed is None or changed.params == row.params else changed
    # Of a run that succeeded with all its parts nothing is left to do again but everything.
    whole = job.state is JobState.SUCCEEDED and not job.missing_ranges
    keeps = params.params == row.params and not whole and row.plans + row.infers > 0
    keeps = keeps and row.results_deleted_at is None
    fields = {
        "id": job_id,
        "state": "uploading" if row.input_key is None else "queued",
        "params": dump(params.params),
        "batch_key": params.batch_key,
        "pins": dump(params.pins),
        "before": job.state.value,
        "note": dump(note or {}),
        "kept": keeps,
    }
    if keeps:
        connection.execute(_KEEPING, fields | {"undone": row.undone})
        _keep_done(connection, row, job.run)
        return
    connection.execute(_AFRESH, fields)
    connection.execute(_DROP_ALL, {"id": job_id})
    if row.input_key is not None:
        enqueue(connection, job_id, row, Priority(row.priority))


def _keep_done(connection: Connection, job: Row[Any], run: int) -> None:
    here = {"id": job.id, "run": run}
    priority = Priority(job.priority)
    cost_seconds = connection.execute(_UNDONE_COST, here).scalar_one()
    tag = admit(connection, lane=job.lane, tenant=job.tenant, priority=priority, cost_seconds=cost_seconds)
    connection.execute(_DELETE_MERGES, here)
    connection.execute(_MOVE_UNDONE, here | {"tag": tag, "tag_per_second": step(priority, 1.0)})
    connection.execute(_MOVE_DONE, here)
    if job.infers > 0 and job.undone == 0:
        last = connection.execute(_LAST_INFER, {"id": job.id, "run": run + 1}).scalar_one()
        connection.execute(INSERT_MERGE, {"id": new_id(), "last_id": last})
