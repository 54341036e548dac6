"""Deleting a job for good: the row, all that hangs on it, and the names of what it owned in the object store."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.engine import Connection

# FOR UPDATE, not the weaker lock of other writers: the row is about to go.
_LOCK = text("SELECT input_key, upload_id FROM jobs WHERE id = CAST(:id AS uuid) FOR UPDATE")
_DELETE_SEGMENTS = text("DELETE FROM segments WHERE job_id = CAST(:id AS uuid) RETURNING rows_key")
_DELETE_REST = (
    # What was to be told of the job is erased with it, also where it has not been told yet.
    text("DELETE FROM webhook_events WHERE job_id = CAST(:id AS uuid)"),
    # Events last: a claim that was under way has written its own by the time its segment could be deleted.
    text("DELETE FROM job_events WHERE job_id = CAST(:id AS uuid)"),
    text("DELETE FROM jobs WHERE id = CAST(:id AS uuid)"),
)
_DELETE_UPLOAD = text("DELETE FROM uploads WHERE id = :upload_id")


def erase(connection: Connection, job_id: str) -> list[str]:
    """Delete a job in the caller's transaction; return the object keys that now have no owner."""
    row = connection.execute(_LOCK, {"id": job_id}).one_or_none()
    if row is None:
        return []
    keys = {row.input_key, *connection.execute(_DELETE_SEGMENTS, {"id": job_id}).scalars()}
    for statement in _DELETE_REST:
        connection.execute(statement, {"id": job_id})
    if row.upload_id is not None:
        connection.execute(_DELETE_UPLOAD, {"upload_id": row.upload_id})
    return sorted(key for key in keys if key is not None)
