"""A queue and the model that follows it: operations are done to both, alone or at once, and compared."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hypothesis import note
from hypothesis.stateful import RuleBasedStateMachine
from sqlalchemy import text

from bench.faults.checker import Verdict, check
from bench.faults.history import read_snapshot
from storage.claims import Plan
from storage.job import Claim, Done, InputRef, Rows, SegmentPlan
from storage.objects.keys import rows_key
from tests.fakes.sql_queue import SqlQueue
from tests.integration import protocol_deeds as deeds
from tests.integration.protocol_deeds import Deed, explain
from tests.integration.protocol_model import Model
from tests.integration.protocol_rows import ENDED
from tests.integration.racing import wait_until_blocked
from tests.unit.faults.histories import Kill, Seen

WORKERS = ("worker-a", "worker-b", "worker-c")
#: how long two operations are given to run into the lock that is held against them
STALL_SECONDS = 0.25
TABLES = "jobs, segments, job_events, workers, pauses, lanes, flows, webhook_events"
EVERYTHING = text(f"TRUNCATE {TABLES} CASCADE")
LOCKS = {
    "jobs": text("SELECT FROM jobs ORDER BY id FOR UPDATE"),
    "segments": text("SELECT FROM segments ORDER BY id FOR UPDATE"),
}
VIEW = text("""
    SELECT job_id::text, run, kind, index, state, solo, attempts, holdups, losses, claim_id::text, worker_id, id::text
    FROM segments
""")
JOBS = text("""
    SELECT id::text, run, state, attempts, segments_total, segments_left, frames,
        ARRAY(SELECT (gap ->> 'segment')::int FROM jsonb_array_elements(missing_ranges) AS gap) AS missing, progress
    FROM jobs
""")


class ProtocolRun(RuleBasedStateMachine):
    """One queue, emptied; whatever is done to it is done to the model too."""

    queue: SqlQueue
    #: a psycopg2 connection for the checker alone
    reader: Any
    #: what was found, by all examples
    found: list[str]

    def __init__(self) -> None:
        super().__init__()
        with self.queue.database.transaction() as connection:
            connection.execute(EVERYTHING)
        self.model = Model()
        self.claims: list[Claim] = []
        self.acknowledged: dict[str, set[str]] = {}
        self.erased: set[str] = set()
        self.kills: list[Kill] = []
        self.samples: list[Seen] = []
        self.trace: list[str] = []
        self.focus: str | None = None
        self.broken = False
        for worker in WORKERS:
            self.queue.register(worker)
            self.model.register(worker)

    def _do(self, *several: Deed, stall: str | None = None) -> None:
        self.trace.append(" || ".join(deed.name for deed in several) + (f" held up at {stall}" if stall else ""))
        note(self.trace[-1])
        try:
            answers = [several[0].run()] if len(several) == 1 else self._at_once(several, stall)
        except Exception as error:
            raise AssertionError(self._told(repr(error))) from error
        view, ids = self._rows()
        after = explain(self.model, several, answers, view)
        if after is None:
            why = deeds.why_not(self.model, several, answers, view)
            raise AssertionError(self._told(f"{answers}\n{why}"))
        self.model = after
        after.learn(ids)
        for deed, answer in zip(several, answers, strict=True):
            if not isinstance(answer, Exception):
                deed.remember(answer)
        self._sample()

    def _at_once(self, several: Sequence[Deed], stall: str | None) -> list[Any]:
        """Start together; ``stall``: behind a lock on these rows, so that each has begun before any can go on."""
        barrier = threading.Barrier(len(several) + 1)
        over = threading.Event()

        def run(deed: Deed) -> Any:
            barrier.wait(10)
            return deed.run()

        with ThreadPoolExecutor(len(several) + 1) as pool:
            watching = pool.submit(self._watch, over)
            running = [pool.submit(run, deed) for deed in several]
            try:
                if stall is None:
                    barrier.wait(10)
                else:
                    with self.queue.database.transaction() as holder:
                        holder.execute(LOCKS[stall])
                        barrier.wait(10)
                        wait_until_blocked(self.queue.database, running, STALL_SECONDS)
                return [one.result(30) for one in running]
            finally:
                over.set()
                watching.result(30)

    def _watch(self, over: threading.Event) -> None:
        """Poll as clients do, while operations run."""
        while not over.wait(0.002):
            self._sample()

    def _sample(self) -> None:
        asked_at = time.monotonic()
        with self.queue.database.transaction() as connection:
            rows = connection.execute(JOBS).all()
        at = time.monotonic()
        self.samples += [
            Seen(asked_at, at, row.id, row.run, row.state, row.state in ENDED, row.progress) for row in rows
        ]

    def _rows(self) -> tuple[Any, Mapping[Any, str]]:
        """The tables as the model's view, and how the database calls the segments."""
        with self.queue.database.transaction() as connection:
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            jobs = {row.id: (*row[1:7], tuple(row.missing)) for row in connection.execute(JOBS)}
            rows = connection.execute(VIEW).all()
            workers = {row.id: row.state for row in connection.execute(text("SELECT id, state FROM workers"))}
        return (jobs, {tuple(row[:4]): tuple(row[4:11]) for row in rows}, workers), {
            tuple(row[:4]): row[11] for row in rows
        }

    def _judge(self, *, cut_short: bool) -> Verdict:
        return check(
            read_snapshot(self.reader),
            acknowledged=self.acknowledged,
            erased=self.erased,
            kills=self.kills,
            samples=self.samples,
            cut_short=cut_short,
        )

    def _work_empty(self) -> None:
        for kind, name in self.model.pauses:
            self.queue.depth.resume(kind, name)
        for worker in WORKERS:
            self.kills.append(Kill(time.time(), (worker,)))
            self.queue.fleet.leave(worker)
        for job in self.model.jobs.values():
            if job.state == "uploading":
                self.queue.store.attach_input(job.id, InputRef(key=f"inputs/{job.id}/source"))
        self.queue.register("last")
        for _ in range(100):
            self.queue.pass_time(7200)
            while (found := self.queue.claim("last", limit=4, **deeds.WANTED)) is not None:
                plans = [segment.id for segment in found.segments if segment.kind == "plan"]
                self.queue.plan_all(found, {segment_id: Plan([SegmentPlan()], {}) for segment_id in plans})
                self.queue.finish(found, [self._done(found, segment.id) for segment in found.segments])
            if not self.queue.execute("SELECT FROM segments WHERE state IN ('waiting', 'ready', 'claimed')"):
                return

    def _carry_out(self, claim: Claim, parts: int, *, finish: bool = True) -> None:
        plans = {segment.id: parts for segment in claim.segments if self._kind(segment.id) == "plan"}
        if plans:
            self._do(deeds.plan(self.queue, claim, plans))
        done = [self._done(claim, segment.id) for segment in claim.segments if self._kind(segment.id) != "plan"]
        if finish and done:
            self._do(deeds.finish(self.queue, claim, done))

    def _hurry(self, job_id: str) -> None:
        """Put a job in front of all others."""
        statement = "UPDATE segments SET tag = (SELECT min(tag) - 1 FROM segments) WHERE job_id = CAST(:id AS uuid)"
        self.queue.execute(statement, id=job_id)

    def _kind(self, segment_id: str) -> str | None:
        segment = self.model.named(segment_id)
        return None if segment is None else segment.kind

    def _done(self, claim: Claim, segment_id: str) -> Done:
        (segment,) = [one for one in claim.segments if one.id == segment_id]
        key = rows_key(segment.job_id, segment.run, segment_id, claim.id)
        rows = Rows(1, 10, hashlib.sha256(key.encode()).hexdigest(), key=key)
        return Done(segment_id, rows, {"by": claim.id})

    def _told(self, message: str) -> str:
        self.broken = True
        steps = "\n".join(f"  {number:3}. {step}" for number, step in enumerate(self.trace, 1))
        self.found.append(f"after\n{steps}\n{message}")
        return self.found[-1]
