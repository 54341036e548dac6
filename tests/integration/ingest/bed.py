"""A queue, a store, a source, and as many dispatchers as a test wants."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from sqlalchemy import text

from storage.database import Database
from storage.ids import new_id
from storage.job import InputRef, Job, JobState
from storage.jobs import JobStore
from storage.new_job import NewJob
from storage.objects.port import ObjectStore
from storage.session_locks import SessionLocks
from tests.fakes.http_source import Source
from tests.fakes.quiet_bell import QuietBell
from workers.dispatcher.ingest import Ingest
from workers.dispatcher.sources import RemoteSources
from workers.fetch_url import FetchRules, UrlFetcher

KIB = 1024
LIMIT = 1000 * KIB


class Bed:
    """A queue, a store, a source, and as many dispatchers as a test wants."""

    def __init__(self, database: Database, database_url: str, objects: ObjectStore, source: Source) -> None:
        self.database = database
        self.jobs = JobStore(database)
        self.objects = objects
        self.source = source
        self.bell = QuietBell()
        self.told: list[str] = []
        self.rules = FetchRules(
            max_bytes=LIMIT, private_hosts=frozenset({f"127.0.0.1:{source.port}"}), stall_seconds=2, connect_seconds=2
        )
        self._url = database_url
        self._open = ExitStack()

    def dispatcher(self, **changes: Any) -> Ingest:
        """A dispatcher's duty, with locks of its own, as another process has them."""
        locks = SessionLocks(self._url)
        self._open.callback(locks.close)
        given: dict[str, Any] = {
            "jobs": self.jobs,
            "objects": self.objects,
            "sources": RemoteSources(UrlFetcher(self.rules)),
            "doorbell": self.bell,
            "locks": locks,
            "max_bytes": LIMIT,
            "tell": self.told.append,
        } | changes
        ingest = Ingest(given.pop("jobs"), given.pop("objects"), given.pop("sources"), given.pop("doorbell"), **given)
        self._open.callback(ingest.close, 5.0)
        return ingest

    def submit(self, url: str, *, tenant: str = "t", **input_: Any) -> str:
        job_id = new_id()
        self.jobs.create(
            NewJob(
                id=job_id,
                tenant=tenant,
                pipeline="motion",
                spec_version=1,
                params={},
                batch_key="k",
                lane="cpu",
                size_class="long",
                input=InputRef(source_url=url, **input_),
                fingerprint=job_id,
                state=JobState.UPLOADING,
            )
        )
        return job_id

    def settled(self, url: str, *, ingest: Ingest | None = None, **input_: Any) -> Job:
        """Submit, run one pass and return what became of the job."""
        job_id = self.submit(url, **input_)
        run(ingest or self.dispatcher())
        return self.jobs.get(job_id)

    def keys(self) -> list[str]:
        return [item.key for item in self.objects.list("")]

    def age(self, job_id: str, seconds: float) -> None:
        with self.database.transaction() as connection:
            connection.execute(
                text("UPDATE jobs SET updated_at = updated_at - make_interval(secs => :s) WHERE id = :id"),
                {"s": seconds, "id": job_id},
            )

    def close(self) -> None:
        self._open.close()


def run(*dispatchers: Ingest) -> None:
    for ingest in dispatchers:
        ingest.run_pass()
    for ingest in dispatchers:
        assert ingest.wait(30)
