"""Jobs with objects that ended some days ago, and the duty with times in days."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from storage.database import Database
from storage.ids import new_id
from storage.job import Bury, Claim, Done, Failed, Fault, InputRef, JobState, Rows, SegmentPlan
from storage.objects.keys import input_key, rows_key
from storage.retention import Keep, Retention
from storage.uploads import UploadStore
from tests.fakes.memory_store import MemoryObjectStore
from tests.fakes.sql_queue import SqlQueue
from workers.dispatcher.deletion import Deletion
from workers.dispatcher.retention import RetentionDuty

WANTED: dict[str, Any] = {"lanes": ["cpu"], "size_classes": ["short", "long"], "serves": [("motion", 1)]}
FAULT = Fault("model.failed", "out of tune")
DAY = 86400.0
KEEP = Keep(inputs=30 * DAY, results=90 * DAY, dead=60 * DAY, jobs=365 * DAY)


class Bed:
    """A queue with objects, and the duty with times in days."""

    def __init__(self, database: Database, keep: Keep = KEEP) -> None:
        self.queue = SqlQueue(database)
        self.queue.register("worker")
        self.objects = MemoryObjectStore()
        self.keep(keep)

    def keep(self, keep: Keep, *, batch: int = 500) -> None:
        self.retention = Retention(self.queue.database, keep, batch=batch)
        self.duty = RetentionDuty(self.retention, self.objects)

    def job(self, **fields: Any) -> str:
        """A queued job with its input in the store."""
        job_id = fields.pop("id", None) or new_id()
        key = input_key(job_id)
        self.objects.put(key, b"input")
        return self.queue.add_job(id=job_id, input=InputRef(key=key, size_bytes=5, etag="e"), **fields)

    def take(self) -> Claim:
        claim = self.queue.claim("worker", limit=1, **WANTED)
        assert claim is not None
        return claim

    def ended(self, state: JobState = JobState.SUCCEEDED, *, days: float, **fields: Any) -> str:
        """A job with a result object that ended so long ago."""
        job_id = self.job(**fields)
        self.end_next(state)
        self.queue.execute(
            "UPDATE jobs SET finished_at = clock_timestamp() - :by WHERE id = CAST(:id AS uuid)",
            id=job_id, by=timedelta(days=days),
        )  # fmt: skip
        return job_id

    def end_next(self, state: JobState) -> None:
        """Let the next job plan three segments, do the first, and end."""
        claim = self.take()
        job_id = claim.segments[0].job_id
        plans = [SegmentPlan(10 * place, 10 * place + 10, 1) for place in range(3)]
        self.queue.plan(claim, claim.segments[0].id, plans, media={})
        last = 4 if state is JobState.SUCCEEDED else 2
        for number in range(1, last + 1):
            claim = self.take()
            segment = claim.segments[0]
            if segment.kind == "merge":
                self.queue.finish(claim, [Done(segment.id, summary={"boxes": 3})])
            elif number == 2 and state is JobState.DEAD:
                self.queue.finish(claim, [Bury(segment.id, FAULT)])
            elif number == 2 and state is JobState.FAILED:
                self.queue.finish(claim, [Failed(segment.id, FAULT)])
            elif number == 2 and state is JobState.CANCELED:
                self.queue.cancel(job_id)
            else:
                key = rows_key(job_id, segment.run, segment.id, claim.id)
                self.objects.put(key, b"rows")
                self.queue.finish(claim, [Done(segment.id, Rows(count=1, size_bytes=4, sha256="0" * 64, key=key))])
        assert self.queue.job(job_id).state is state

    def stored(self, job_id: str) -> list[str]:
        """What the store has of a job: the first words of the keys."""
        keys = [item.key for item in self.objects.list("") if job_id in item.key]
        return sorted({key.partition("/")[0] for key in keys})

    def kinds(self, job_id: str) -> list[str]:
        return [str(event["kind"]) for event in self.queue.store.events(job_id)]

    def count(self, table: str) -> int:
        (row,) = self.queue.execute(f"SELECT count(*) AS n FROM {table}")
        return int(row.n)

    def walk(self) -> None:
        """The sweeper's whole walk, as if everything had been made three days ago."""
        clock = iter([0.0] * 3 + [10_000.0] * 20)
        deletion = Deletion(
            UploadStore(self.queue.database), self.queue.upkeep, self.objects, clock=lambda: next(clock)
        )
        for _ in range(6):
            deletion.run_pass()
