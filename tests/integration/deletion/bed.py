"""A store with objects of known age, rows that may name them, and the duty."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

from storage.database import Database
from storage.ids import new_id
from storage.job import Fault, InputRef, JobState
from storage.objects.keys import OWNED_PREFIXES, input_key, upload_key
from storage.uploads import Upload, UploadStore
from tests.fakes.memory_store import MemoryObjectStore
from tests.fakes.sql_queue import SqlQueue
from workers.dispatcher.deletion import Deletion


def id_made(hours_ago: float) -> str:
    """An id of a row that was made so long ago."""
    millis = int((time.time() - hours_ago * 3600) * 1000)
    fresh = UUID(new_id()).int
    return str(UUID(int=(millis << 80) | (fresh & ((1 << 80) - 1))))


class Clock:
    """Monotonic seconds in the test's hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bed:
    """A queue, uploads, a store and the duty."""

    def __init__(self, database: Database) -> None:
        self.queue = SqlQueue(database)
        self.uploads = UploadStore(database)
        self.objects = MemoryObjectStore()
        self.clock = Clock()
        self.deletion = Deletion(self.uploads, self.queue.upkeep, self.objects, clock=self.clock)

    def put(self, *keys: str) -> None:
        for key in keys:
            self.objects.put(key, key.encode())

    def stored(self) -> list[str]:
        return [item.key for item in self.objects.list("")]

    def job(self, job_id: str, *, key: str | None = None, **fields: object) -> str:
        """A job with its input in the store."""
        key = key or input_key(job_id)
        self.put(key)
        self.queue.add_job(id=job_id, input=InputRef(key=key, size_bytes=1, etag="e"), **fields)
        return key

    def end(self, job_id: str, state: JobState, *, hours_ago: float = 40) -> None:
        """Let a job have ended so long ago."""
        if state is JobState.CANCELED:
            self.queue.store.cancel(job_id)
        else:
            self.queue.store.fail(job_id, Fault("input.gone", "test"), from_states=[JobState.QUEUED])
        self.queue.execute(
            "UPDATE jobs SET state = :state, finished_at = clock_timestamp() - :by WHERE id = :id",
            id=job_id, state=state.value, by=timedelta(hours=hours_ago),
        )  # fmt: skip

    def upload(self, *, expired: bool, state: str = "open", body: bool = False) -> Upload:
        """A row of a presigned upload, with one part sent or the whole object there."""
        upload_id = id_made(50)
        key = upload_key(upload_id)
        multipart_id = self.objects.start_multipart(key)
        if body:
            self.objects.abort_multipart(key, multipart_id)
            self.put(key)
        now = datetime.now(UTC)
        return self.uploads.create(
            Upload(
                id=upload_id, tenant="tenant", state=state, key=key, multipart_id=multipart_id, size_bytes=1,
                part_size_bytes=1, filename=None, content_type=None, etag="e", created_at=now,
                expires_at=now + timedelta(hours=-1 if expired else 1),
            )
        )  # fmt: skip

    def walk(self) -> None:
        """One whole walk over the store."""
        self.clock.now += 2 * 3600
        for _ in OWNED_PREFIXES:
            self.deletion.run_pass()
