"""How a row of ``jobs`` becomes a Job; the only place that lists the columns."""

from __future__ import annotations

from sqlalchemy.engine import Row

from storage.job import InputRef, Job, JobState, Priority

#: select list for ``job_from_row``; the table is named ``jobs`` in the statement
JOB_COLUMNS = """
    jobs.id::text AS id, jobs.tenant, jobs.run, jobs.state, jobs.pipeline, jobs.spec_version, jobs.params, jobs.lane,
    jobs.size_class, jobs.priority, jobs.metadata, jobs.input_key, jobs.input_size_bytes, jobs.input_etag,
    jobs.input_sha256, jobs.input_filename, jobs.input_content_type, jobs.input_source_url, jobs.segments_total,
    jobs.segments_left, jobs.progress, jobs.stage, jobs.attempts, jobs.media, jobs.summary, jobs.warnings, jobs.error,
    jobs.timings, jobs.models, jobs.frames, jobs.cost_seconds, jobs.created_at, jobs.updated_at, jobs.run_after,
    jobs.expires_at, jobs.queued_at, jobs.started_at, jobs.finished_at, jobs.allow_partial, jobs.missing_ranges,
    jobs.webhook_url, jobs.batch_id::text AS batch_id, jobs.error_fingerprint, jobs.same_error_runs, jobs.discarded_at,
    jobs.discarded_by, jobs.input_deleted_at, jobs.results_deleted_at, jobs.pins, jobs.artifacts
"""

#: fields of Job that are columns of the same name
_SAME = frozenset(Job.__dataclass_fields__) - {"state", "priority", "input"}


def job_from_row(row: Row[tuple[object, ...]]) -> Job:
    """Return the Job of a row selected with JOB_COLUMNS."""
    fields = row._mapping
    return Job(
        state=JobState(fields["state"]),
        priority=Priority(fields["priority"]),
        input=input_from_row(row),
        **{name: fields[name] for name in _SAME},
    )


def input_from_row(row: Row[tuple[object, ...]]) -> InputRef:
    """Return the input columns of a row as an InputRef."""
    fields = row._mapping
    return InputRef(
        key=fields["input_key"],
        size_bytes=fields["input_size_bytes"],
        etag=fields["input_etag"],
        sha256=fields["input_sha256"],
        filename=fields["input_filename"],
        content_type=fields["input_content_type"],
        source_url=fields["input_source_url"],
    )
