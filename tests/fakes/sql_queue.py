"""SqlClaims with the methods of MemoryClaims by which a test plays everybody else. A wrapper, not a fake."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from storage.audit import Actor
from storage.claims import Lost
from storage.database import Database
from storage.depth import Depth
from storage.fleet import LEASE_SECONDS, Fleet
from storage.ids import new_id
from storage.job import InputRef, Job, Rows, SegmentKind, SegmentState
from storage.jobs import JobStore
from storage.new_job import NewJob
from storage.sql_claims import SqlClaims
from storage.upkeep import Upkeep


@dataclass(frozen=True)
class SegmentView:
    """One row of ``segments``, as tests look at it."""

    id: str
    kind: SegmentKind
    state: SegmentState
    index: int
    run: int
    tag: float
    solo: bool
    attempts: int
    holdups: int
    losses: int
    claim_id: str | None
    worker_id: str | None
    errors: list[dict[str, Any]]
    run_after: datetime | None
    rows_key: str | None


_SEGMENTS = text("""
    SELECT id::text AS id, kind, state, index, run, tag, solo, attempts, holdups, losses, claim_id::text AS claim_id,
        worker_id, errors, run_after, rows_key
    FROM segments WHERE job_id = CAST(:id AS uuid)
    ORDER BY run, array_position(ARRAY['plan', 'infer', 'merge'], kind), index
""")


# What others hold is left out: a test may let time pass while a storm rages.
_AGE_CLAIMS = """
    UPDATE segments SET claimed_at = claimed_at - :by WHERE id IN (
        SELECT id FROM segments WHERE state = 'claimed' ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)
"""


def new_job(**fields: Any) -> NewJob:
    """A short job of tenant ``tenant``, ready to create."""
    job_id = new_id()
    given: dict[str, Any] = {
        "id": job_id,
        "tenant": "tenant",
        "pipeline": "motion",
        "spec_version": 1,
        "params": {"stride": 5},
        "batch_key": "alike",
        "lane": "cpu",
        "size_class": "short",
        "input": InputRef(key=f"inputs/{job_id}/source", size_bytes=10, etag="e"),
        "fingerprint": "same",
    }
    return NewJob(**(given | fields))


class SqlQueue(SqlClaims):
    """The claims port on a database of its own, with jobs, workers and time in the test's hand."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.database = database
        self.store = JobStore(database)
        self.fleet = Fleet(database)
        self.upkeep = Upkeep(database)
        self.depth = Depth(database)

    def add_job(self, **fields: Any) -> str:
        tag = fields.pop("tag", None)
        job = self.store.create(new_job(**fields)).job
        if tag is not None:
            self.execute("UPDATE segments SET tag = :tag WHERE job_id = CAST(:id AS uuid)", id=job.id, tag=tag)
        return job.id

    def add_many(self, count: int, **fields: Any) -> list[str]:
        return [self.add_job(**fields) for _ in range(count)]

    def register(self, worker_id: str) -> None:
        self.fleet.register(
            worker_id,
            host="here",
            pid=1,
            lanes=["cpu"],
            size_classes=["short", "long"],
            pipelines=["motion"],
            device={"kind": "cpu"},
        )

    def drain(self, worker_id: str) -> None:
        self.fleet.drain(worker_id)

    def pause(self, kind: str, name: str) -> None:
        self.depth.pause(kind, name, by=Actor("test"))

    def resume(self, kind: str, name: str) -> None:
        self.depth.resume(kind, name)

    def job(self, job_id: str) -> Job:
        return self.store.get(job_id)

    def segments(self, job_id: str) -> list[SegmentView]:
        with self.database.transaction() as connection:
            rows = connection.execute(_SEGMENTS, {"id": job_id})
            return [
                SegmentView(**(row._asdict() | {"kind": SegmentKind(row.kind), "state": SegmentState(row.state)}))
                for row in rows
            ]

    def cancel(self, job_id: str) -> bool:
        return self.store.cancel(job_id)[1]

    def refusals(self, job_id: str) -> list[tuple[str, str]]:
        """Outcome and reason of what was refused, oldest first."""
        refused = [event["data"] for event in self.store.events(job_id) if event["kind"] == "refused"]
        return [(data["outcome"], data["reason"]) for data in refused]

    def pass_time(self, seconds: float) -> None:
        """Move every due time, and the time of every claim, back instead of waiting; wake what is due."""
        self.execute(_AGE_CLAIMS, by=_span(seconds))
        self.execute("UPDATE segments SET run_after = run_after - :by WHERE run_after IS NOT NULL", by=_span(seconds))
        self.upkeep.wake_due()

    def lose_child(self, worker_id: str) -> Lost:
        return self.fleet.lose_child(worker_id, reason="killed by signal 9")

    def lose_host(self, worker_id: str) -> Lost:
        self.silence(worker_id)
        return self.fleet.lose_silent()

    def silence(self, worker_id: str, seconds: float = LEASE_SECONDS + 1) -> None:
        """Let the worker's last heartbeat be this long ago."""
        statement = "UPDATE workers SET heartbeat_at = clock_timestamp() - :by WHERE id = :id"
        self.execute(statement, id=worker_id, by=_span(seconds))

    def execute(self, statement: str, **values: Any) -> list[Any]:
        with self.database.transaction() as connection:
            result = connection.execute(text(statement), values)
            return list(result) if result.returns_rows else []


def _span(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def rows_of(count: int) -> Rows:
    """Result rows without content."""
    return Rows(count=count, size_bytes=10 * count, sha256="0" * 64, key="results/x.jsonl.gz")
