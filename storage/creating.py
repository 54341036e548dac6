"""How a job comes into the queue: its row, its first segment and its place, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection, Row

from storage.answers import Created
from storage.batches.joining import join
from storage.ending import lock_jobs
from storage.errors import BatchNotFound, IdempotencyConflict, StateConflict, UploadNotFound
from storage.fairness import admit
from storage.ids import is_id, new_id
from storage.job import InputRef, JobState, Priority
from storage.job_rows import JOB_COLUMNS, job_from_row
from storage.jsonb import clean_text, dump
from storage.new_job import NewJob


@dataclass(frozen=True, slots=True)
class Weight:
    """What an input turned out to be, for the choice of its queue and its place there."""

    size_class: str
    cost_seconds: float


_FIND_BY_KEY = text(f"""
    SELECT {JOB_COLUMNS}, jobs.fingerprint FROM jobs
    WHERE jobs.tenant = :tenant AND jobs.idempotency_key = :idempotency_key
""")  # noqa: S608 - fixed text

# Of two requests with one key the second waits here for the first to commit, and then inserts nothing.
_INSERT = text(f"""
    WITH jobs AS (
        INSERT INTO jobs (id, tenant, state, pipeline, spec_version, params, batch_key, lane, size_class, priority,
            metadata, input_key, input_size_bytes, input_etag, input_sha256, input_filename, input_content_type,
            input_source_url, upload_id, fingerprint, idempotency_key, max_attempts, cost_seconds, run_after,
            expires_at, allow_partial, webhook_url, batch_id, pins, queued_at)
        VALUES (CAST(:id AS uuid), :tenant, :state, :pipeline, :spec_version, CAST(:params AS jsonb), :batch_key, :lane,
            :size_class, :priority, CAST(:metadata AS jsonb), :input_key, :input_size_bytes, :input_etag,
            :input_sha256, :input_filename, :input_content_type, :input_source_url, CAST(:upload_id AS uuid),
            :fingerprint, :idempotency_key, :max_attempts, :cost_seconds, :run_after, :expires_at, :allow_partial,
            :webhook_url, CAST(:batch_id AS uuid), CAST(:pins AS jsonb),
            CASE WHEN :state = 'queued' THEN clock_timestamp() END)
        ON CONFLICT (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
        RETURNING *
    ), noted AS (
        INSERT INTO job_events (job_id, run, kind, data)
        SELECT jobs.id, jobs.run, 'submitted', jsonb_build_object('state', jobs.state) FROM jobs
    )
    SELECT {JOB_COLUMNS} FROM jobs
""")  # noqa: S608 - fixed text

_TAKE_UPLOAD = text("""
    UPDATE uploads SET state = 'taken' WHERE id = CAST(:id AS uuid) AND tenant = :tenant AND state = 'complete'
""")
_UPLOAD_STATE = text("SELECT state FROM uploads WHERE id = CAST(:id AS uuid) AND tenant = :tenant")

_INSERT_PLAN = text("""
    INSERT INTO segments (id, job_id, run, kind, state, tenant, pipeline, spec_version, batch_key, lane, size_class,
        tag, cost_seconds, max_attempts, run_after, ready_at)
    SELECT CAST(:segment_id AS uuid), j.id, j.run, 'plan',
        CASE WHEN j.run_after > clock_timestamp() THEN 'waiting' ELSE 'ready' END,
        j.tenant, j.pipeline, j.spec_version, j.batch_key, j.lane, j.size_class, :tag, j.cost_seconds, j.max_attempts,
        CASE WHEN j.run_after > clock_timestamp() THEN j.run_after END,
        CASE WHEN j.run_after > clock_timestamp() THEN NULL ELSE clock_timestamp() END
    FROM jobs j WHERE j.id = CAST(:job_id AS uuid)
    RETURNING state
""")

_ATTACH = text("""
    WITH attached AS (
        UPDATE jobs SET
            state = 'queued', queued_at = clock_timestamp(), updated_at = clock_timestamp(), stage = NULL,
            input_key = :key, input_size_bytes = :size_bytes, input_etag = :etag, input_sha256 = :sha256,
            size_class = coalesce(:size_class, size_class), cost_seconds = coalesce(:cost_seconds, cost_seconds),
            input_filename = coalesce(:filename, input_filename),
            input_content_type = coalesce(:content_type, input_content_type)
        WHERE id = CAST(:id AS uuid)
        RETURNING *
    ), noted AS (
        INSERT INTO job_events (job_id, run, kind) SELECT id, run, 'queued' FROM attached
    )
    SELECT lane, tenant, priority, cost_seconds FROM attached
""")


def create(connection: Connection, new: NewJob) -> Created:
    """Insert a job, or find the one its idempotency key made before; see ``JobStore.create``."""
    if new.upload_id is not None and not is_id(new.upload_id):
        raise UploadNotFound(f"no upload {new.upload_id}")
    if new.batch_id is not None and not is_id(new.batch_id):
        raise BatchNotFound(f"no batch {new.batch_id}")
    if new.idempotency_key is not None and (known := _known(connection, new)) is not None:
        return known
    # Job, batch, upload, flow: everyone who locks several of these does so in that order.
    record = record_of(new) | {"params": dump(new.params), "metadata": dump(new.metadata), "pins": dump(new.pins)}
    row = connection.execute(_INSERT, record).one_or_none()
    if row is None:
        known = _known(connection, new)
        if known is None:  # erased in this very moment; the caller may simply ask again
            raise StateConflict("the job made by this idempotency key was just deleted")
        return known
    if new.batch_id is not None:
        join(connection, new)
    if new.upload_id is not None:
        _take_upload(connection, new.upload_id, new.tenant)
    if new.state is JobState.QUEUED:
        enqueue(connection, new.id, row, Priority(new.priority))
    return Created(job_from_row(row), fresh=True)


def enqueue(connection: Connection, job_id: str, job: Row[Any], priority: Priority) -> None:
    """Give a job its place in the lane and insert its plan segment; ``job`` has lane, tenant and cost_seconds."""
    tag = admit(connection, lane=job.lane, tenant=job.tenant, priority=priority, cost_seconds=job.cost_seconds)
    connection.execute(_INSERT_PLAN, {"segment_id": new_id(), "job_id": job_id, "tag": tag})


def attach_input(connection: Connection, job_id: str, source: InputRef, weight: Weight | None = None) -> bool:
    """``uploading`` -> ``queued``; see ``JobStore.attach_input``."""
    job = lock_jobs(connection, [job_id]).get(job_id)
    if job is None or job.state is not JobState.UPLOADING:
        return False
    fields = {
        "id": job_id,
        "size_class": weight.size_class if weight else None,
        "cost_seconds": weight.cost_seconds if weight else None,
        "key": source.key,
        "size_bytes": source.size_bytes,
        "etag": source.etag,
        "sha256": source.sha256,
        "filename": clean_text(source.filename),
        "content_type": clean_text(source.content_type),
    }
    row = connection.execute(_ATTACH, fields).one()
    enqueue(connection, job_id, row, Priority(row.priority))
    return True


def _known(connection: Connection, new: NewJob) -> Created | None:
    key = {"tenant": new.tenant, "idempotency_key": new.idempotency_key}
    row = connection.execute(_FIND_BY_KEY, key).one_or_none()
    if row is None:
        return None
    if row.fingerprint != new.fingerprint:
        raise IdempotencyConflict(f"idempotency key {new.idempotency_key!r} was used before with another request")
    return Created(job_from_row(row), fresh=False)


def _take_upload(connection: Connection, upload_id: str, tenant: str) -> None:
    upload = {"id": upload_id, "tenant": tenant}
    if connection.execute(_TAKE_UPLOAD, upload).rowcount:
        return
    state = connection.execute(_UPLOAD_STATE, upload).scalar_one_or_none()
    if state is None:
        raise UploadNotFound(f"no upload {upload_id}")
    raise StateConflict(f"upload {upload_id} is {state}, not complete")


def record_of(new: NewJob) -> dict[str, Any]:
    """Return the columns of a new job; ``params``, ``metadata`` and ``pins`` as plain data."""
    same = (
        "id", "tenant", "pipeline", "spec_version", "batch_key", "lane", "size_class", "upload_id", "fingerprint",
        "idempotency_key", "max_attempts", "cost_seconds", "run_after", "expires_at",
        "allow_partial", "webhook_url", "batch_id",
    )  # fmt: skip
    return {name: getattr(new, name) for name in same} | {
        "state": new.state.value,
        "priority": new.priority.value,
        "params": new.params,
        "metadata": new.metadata,
        "pins": new.pins,
        "input_key": new.input.key,
        "input_size_bytes": new.input.size_bytes,
        "input_etag": new.input.etag,
        "input_sha256": new.input.sha256,
        "input_filename": clean_text(new.input.filename),
        "input_content_type": clean_text(new.input.content_type),
        "input_source_url": clean_text(new.input.source_url),
    }
