"""Deleting jobs for good: the rows, all that hangs on them, and the names of what they owned in the object store."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage import audit
from storage.audit import Actor
from storage.errors import JobNotFound

# FOR UPDATE, not the weaker lock of other writers: the rows are about to go.
_LOCK = text("""
    SELECT id::text AS id, input_key, upload_id::text AS upload_id,
        jsonb_path_query_array(artifacts, '$[*].key') AS artifact_keys
    FROM jobs WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE
""")
_DELETE_SEGMENTS = text("DELETE FROM segments WHERE job_id = ANY(CAST(:ids AS uuid[])) RETURNING rows_key")
_DELETE_REST = (
    # What was to be told of the job is erased with it, also where it has not been told yet.
    text("DELETE FROM webhook_events WHERE job_id = ANY(CAST(:ids AS uuid[]))"),
    # The item stays in its place, so that a manifest which is sent again does not make it anew; what it said goes.
    text("UPDATE batch_items SET item = '{}', error = NULL WHERE job_id = ANY(CAST(:ids AS uuid[]))"),
    # Events last: a claim that was under way has written its own by the time its segment could be deleted.
    text("DELETE FROM job_events WHERE job_id = ANY(CAST(:ids AS uuid[]))"),
    text("DELETE FROM jobs WHERE id = ANY(CAST(:ids AS uuid[]))"),
)
_DELETE_UPLOADS = text("DELETE FROM uploads WHERE id = ANY(CAST(:ids AS uuid[]))")

_TELL = text("""
    INSERT INTO erasures (job_id, input_key) VALUES (CAST(:job_id AS uuid), :input_key) ON CONFLICT DO NOTHING
""")


def erase(connection: Connection, job_id: str, by: Actor) -> list[str]:
    """Delete a job in the caller's transaction, and have it forgotten everywhere; return the object keys it named.

    Raises: JobNotFound, also when another erased it while we waited for its row.
    """
    row = connection.execute(_LOCK, {"ids": [job_id]}).one_or_none()
    if row is None:
        raise JobNotFound(f"no job {job_id}")
    keys = erase_rows(connection, [job_id])
    connection.execute(_TELL, {"job_id": job_id, "input_key": row.input_key})
    audit.note(connection, by, "job.erase", job=job_id)
    return keys


def erase_rows(connection: Connection, job_ids: Sequence[str]) -> list[str]:
    """Delete jobs in the caller's transaction; return the object keys that now have no owner."""
    ids = {"ids": list(job_ids)}
    jobs = connection.execute(_LOCK, ids).all()
    keys = {*(job.input_key for job in jobs), *connection.execute(_DELETE_SEGMENTS, ids).scalars()}
    keys.update(key for job in jobs for key in job.artifact_keys)
    for statement in _DELETE_REST:
        connection.execute(statement, ids)
    uploads = [job.upload_id for job in jobs if job.upload_id is not None]
    if uploads:
        connection.execute(_DELETE_UPLOADS, {"ids": uploads})
    return sorted(key for key in keys if key is not None)
