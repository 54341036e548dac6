"""An upload is taken by one job, of its own tenant, in its time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from storage.errors import StateConflict, UploadNotFound
from storage.ids import new_id
from storage.objects.port import StoredObject
from storage.uploads import Upload, UploadStore
from tests.fakes.sql_queue import SqlQueue, new_job

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def upload(queue: SqlQueue, *, expires_at: datetime = NOW + timedelta(days=3650)) -> Upload:
    upload_id = new_id()
    key = f"uploads/{upload_id}/source"
    row = Upload(upload_id, "tenant", "open", key, "m", 100, 50, "clip.mp4", "video/mp4", None, NOW, expires_at)
    return UploadStore(queue.database).create(row)


def test_a_complete_upload_is_taken_by_one_job_alone(queue: SqlQueue) -> None:
    uploads, mine = UploadStore(queue.database), upload(queue)
    with pytest.raises(StateConflict, match="open"):
        queue.add_job(upload_id=mine.id)
    stored = StoredObject(mine.key, 99, "etag", "ab")
    complete = uploads.complete(mine.id, "tenant", stored)
    assert (complete.state, complete.size_bytes, complete.etag) == ("complete", 99, "etag")
    assert uploads.complete(mine.id, "tenant", stored) == complete
    queue.add_job(upload_id=mine.id, idempotency_key="k")
    assert uploads.get(mine.id, "tenant").state == "taken"
    assert not queue.store.create(new_job(upload_id=mine.id, idempotency_key="k")).fresh
    with pytest.raises(StateConflict, match="taken"):
        queue.add_job(upload_id=mine.id)
    assert uploads.expire() == []


def test_another_tenants_or_unknown_upload_is_not_found(queue: SqlQueue) -> None:
    uploads, mine = UploadStore(queue.database), upload(queue)
    for upload_id, tenant in ((mine.id, "other"), (new_id(), "tenant"), ("no id", "tenant")):
        with pytest.raises(UploadNotFound):
            uploads.get(upload_id, tenant)
        with pytest.raises(UploadNotFound):
            queue.add_job(upload_id=upload_id, tenant=tenant)
    assert queue.execute("SELECT FROM jobs") == []


def test_uploads_past_their_time_expire_once(queue: SqlQueue) -> None:
    uploads, old, young = UploadStore(queue.database), upload(queue, expires_at=NOW), upload(queue)
    assert [row.id for row in uploads.expire()] == [old.id]
    assert uploads.expire() == []
    with pytest.raises(StateConflict, match="expired"):
        uploads.complete(old.id, "tenant", StoredObject(old.key, 99, "etag"))
    assert uploads.get(young.id, "tenant").state == "open"
