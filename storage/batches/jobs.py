"""What an item says as a job: the record that web wrote, and the upload it names, taken in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection, Row

from storage.ids import is_id, new_id
from storage.job import InputRef, JobState, Priority
from storage.new_job import NewJob

#: fields of NewJob that a record holds under the same name
_SAME = ("pipeline", "spec_version", "params", "batch_key", "lane", "size_class", "fingerprint", "cost_seconds")

# In the order of ids: two chunks that name the same uploads wait for each other, not both for ever.
_LOCK_UPLOADS = text("""
    SELECT id::text AS id, key, size_bytes, etag, sha256, filename, content_type FROM uploads
    WHERE id = ANY(CAST(:ids AS uuid[])) AND tenant = :tenant AND state = 'complete' ORDER BY id FOR UPDATE
""")
_TAKE_UPLOADS = text("UPDATE uploads SET state = 'taken' WHERE id = ANY(CAST(:ids AS uuid[]))")


@dataclass(frozen=True, slots=True)
class Draft:
    """An item that is to become a job."""

    index: int
    part: int
    record: Mapping[str, Any]


Refused = tuple[Draft, dict[str, Any]]


def jobs_of(
    connection: Connection, batch_id: str, tenant: str, drafts: Sequence[Draft]
) -> tuple[list[tuple[Draft, NewJob]], list[Refused]]:
    """Return the jobs of items, and the items that cannot become one; each upload is taken once."""
    uploads = _locked_uploads(connection, tenant, drafts)
    now = datetime.now(UTC)
    news: list[tuple[Draft, NewJob]] = []
    refused: list[Refused] = []
    taken: list[str] = []
    # jobs sort as their items do
    for draft, job_id in zip(drafts, sorted(new_id() for _ in drafts), strict=True):
        upload_id = draft.record.get("upload_id")
        if upload_id is None:
            source = InputRef(filename=draft.record.get("filename"), source_url=draft.record["source_url"])
        elif (upload := uploads.pop(upload_id, None)) is not None:
            taken.append(upload_id)
            source = _input_of(upload)
        else:
            message = f"upload {upload_id} is not there any more, or was taken by another job"
            refused.append((draft, {"code": "upload.unknown", "message": message}))
            continue
        owner = {"id": job_id, "tenant": tenant, "batch_id": batch_id}
        news.append((draft, _new_job(owner, draft.record, source, now)))
    if taken:
        connection.execute(_TAKE_UPLOADS, {"ids": taken})
    return news, refused


def _locked_uploads(connection: Connection, tenant: str, drafts: Sequence[Draft]) -> dict[str, Row[Any]]:
    ids = [draft.record["upload_id"] for draft in drafts if is_id(draft.record.get("upload_id") or "")]
    if not ids:
        return {}
    return {row.id: row for row in connection.execute(_LOCK_UPLOADS, {"ids": ids, "tenant": tenant})}


def _new_job(owner: Mapping[str, Any], record: Mapping[str, Any], source: InputRef, now: datetime) -> NewJob:
    run_after = record.get("run_after")
    seconds = record.get("expires_in_seconds")
    return NewJob(
        input=source,
        state=JobState.UPLOADING if source.key is None else JobState.QUEUED,
        priority=Priority(record["priority"]),
        metadata=record.get("metadata") or {},
        run_after=datetime.fromisoformat(run_after) if run_after else None,
        expires_at=now + timedelta(seconds=seconds) if seconds else None,
        upload_id=record.get("upload_id"),
        allow_partial=bool(record.get("allow_partial")),
        webhook_url=record.get("webhook_url"),
        pins=record.get("pins") or {},
        **owner,
        **{name: record[name] for name in _SAME},
    )


def _input_of(upload: Row[Any]) -> InputRef:
    return InputRef(
        key=upload.key,
        size_bytes=upload.size_bytes,
        etag=upload.etag,
        sha256=upload.sha256,
        filename=upload.filename,
        content_type=upload.content_type,
    )
