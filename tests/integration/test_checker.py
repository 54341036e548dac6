"""The checker on histories that PostgreSQL recorded, sound ones and ones that were tampered with."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.faults.checker import Verdict, check
from bench.faults.history import load_history, read_history, write_history
from bench.faults.stored import Stored
from storage.database import Database
from storage.ids import new_id
from storage.job import Claim, ClaimedSegment, Done, Failed, Fault, GiveBack, Retry, Rows, SegmentPlan
from storage.objects.keys import rows_key
from storage.objects.local import LocalObjectStore
from tests.fakes.sql_queue import SqlQueue

SERVES = [("motion", 1)]
FAULT = Fault("device.failed", "it broke")
BODY = gzip.compress(b'{"index": 0}\n', mtime=0)


@dataclass(frozen=True, slots=True)
class Kill:
    at: float
    worker_ids: list[str]


class Worked:
    """A queue and a store, with a worker that may do anything."""

    def __init__(self, database: Database, database_url: str, objects: LocalObjectStore) -> None:
        self.queue = SqlQueue(database)
        self.url = database_url
        self.objects = objects
        self.acknowledged: dict[str, set[str]] = {}
        self.kills: list[Kill] = []
        for number in range(3):
            self.queue.register(f"worker-{number}")

    def submit(self, **fields: object) -> str:
        key = new_id()
        job_id = self.queue.add_job(idempotency_key=key, **fields)
        self.acknowledged[key] = {job_id}
        return job_id

    def claim(self, number: int = 0, limit: int = 1) -> Claim:
        found = self.queue.claim(
            f"worker-{number}", lanes=["cpu"], size_classes=["short", "long"], serves=SERVES, limit=limit
        )
        assert found is not None
        return found

    def plan(self, claim: Claim, parts: int = 1) -> None:
        for segment in claim.segments:
            self.queue.plan(claim, segment.id, [SegmentPlan(frames=1)] * parts, media={})

    def done(self, claim: Claim, segment: ClaimedSegment, *, inline: bool = False) -> Done:
        digest = hashlib.sha256(BODY).hexdigest()
        if inline:
            return Done(segment.id, Rows(1, len(BODY), digest, inline=BODY), {"ok": True})
        key = rows_key(segment.job_id, segment.run, segment.id, claim.id)
        self.objects.put(key, BODY)
        return Done(segment.id, Rows(1, len(BODY), digest, key=key), {"ok": True})

    def finish(self, claim: Claim, *, inline: bool = False) -> None:
        self.queue.finish(claim, [self.done(claim, segment, inline=inline) for segment in claim.segments])

    def kill(self, number: int) -> None:
        now = self.queue.execute("SELECT extract(epoch FROM clock_timestamp())::float AS now")[0].now
        self.kills.append(Kill(now, [f"worker-{number}"]))
        self.queue.lose_host(f"worker-{number}")
        self.queue.register(f"worker-{number}")

    def verdict(self) -> Verdict:
        return check(
            read_history(self.url),
            acknowledged=self.acknowledged,
            attempted=self.acknowledged,
            kills=self.kills,
            objects=Stored(self.objects),
        )


@pytest.fixture
def worked(database: Database, database_url: str, local_store: LocalObjectStore) -> Worked:
    """Jobs that went every way there is."""
    made = Worked(database, database_url, local_store)
    _stills(made)
    _video(made)
    _second_runs(made)
    return made


def _stills(made: Worked) -> None:
    made.submit()
    made.submit()
    pair = made.claim(limit=2)
    made.plan(pair)
    made.finish(pair, inline=True)
    made.submit()
    given = made.claim(0)
    made.queue.finish(given, [GiveBack(given.segments[0].id)])
    late = made.claim(0)
    made.plan(late)
    made.kill(0)
    made.finish(late)
    made.submit()
    stale = made.claim(0)
    made.plan(stale)
    made.kill(0)
    fresh = made.claim(1)
    made.finish(stale)
    made.queue.finish(fresh, [Retry(fresh.segments[0].id, FAULT, 5.0, charged=True)])
    made.queue.pass_time(10)
    made.finish(made.claim(2))


def _video(made: Worked) -> None:
    made.submit(size_class="long", allow_partial=True)
    made.plan(made.claim(), parts=3)
    made.finish(made.claim(0))
    broken = made.claim(1)
    made.queue.finish(broken, [Failed(broken.segments[0].id, FAULT)])
    made.finish(made.claim(2))
    made.finish(made.claim(0))


def _second_runs(made: Worked) -> None:
    canceled = made.submit()
    made.claim()
    made.queue.cancel(canceled)
    made.queue.store.replay(canceled)
    again = made.claim()
    made.plan(again)
    made.finish(again)
    changed = made.submit(size_class="long")
    made.plan(made.claim(), parts=2)
    half = made.claim()
    made.finish(half)
    made.queue.cancel(changed)
    made.queue.store.replay(changed, params={"stride": 9}, batch_key="other")
    made.plan(made.claim(), parts=2)
    for _ in range(3):
        made.finish(made.claim())


def test_a_run_through_every_way_of_the_protocol_keeps_every_promise(worked: Worked) -> None:
    verdict = worked.verdict()
    assert verdict.held, str(verdict)
    assert verdict.counts["jobs"] == verdict.counts["acknowledged"] == verdict.counts["succeeded"] == 7
    assert verdict.counts["objects"] >= 8
    assert verdict.counts["refused"] == 1


def test_a_history_kept_in_a_file_is_judged_alike(worked: Worked, tmp_path: Path) -> None:
    history = read_history(worked.url)
    write_history(history, tmp_path / "history.jsonl.gz")
    again = load_history(tmp_path / "history.jsonl.gz")
    assert again == history
    assert check(again, acknowledged=worked.acknowledged, kills=worked.kills).held


TAMPERED: dict[str, tuple[str, set[str]]] = {
    "a job vanished": (
        "WITH one AS (DELETE FROM segments WHERE job_id = (SELECT min(id::text) FROM jobs)::uuid RETURNING job_id)"
        " DELETE FROM jobs WHERE id IN (SELECT job_id FROM one)",
        {"job.lost"},
    ),
    "a result was put into the row by another hand": (
        "UPDATE segments SET rows_sha256 = repeat('0', 64) WHERE rows_key IS NOT NULL",
        {"result.foreign", "result.corrupt"},
    ),
    "inline rows were changed": (
        "UPDATE segments SET rows_inline = 'x' WHERE rows_inline IS NOT NULL",
        {"result.corrupt"},
    ),
    "an end was taken back": (
        "UPDATE jobs SET state = 'running', finished_at = NULL WHERE run = 1",
        {"books.disagree", "job.unended"},
    ),
    "an event is missing": ("DELETE FROM job_events WHERE kind = 'lost'", {"claim.overlap"}),
    "a result was accepted twice": (
        "INSERT INTO job_events (job_id, run, kind, segment_id, claim_id, worker_id, data)"
        " SELECT job_id, run, kind, segment_id, claim_id, worker_id, data FROM job_events WHERE kind = 'done'",
        {"terminal.left"},
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_what_is_done_to_the_tables_behind_the_queues_back_is_found(worked: Worked, name: str) -> None:
    statement, rules = TAMPERED[name]
    worked.queue.execute(statement)
    assert rules <= set(worked.verdict().broken)


TOUCHED: dict[str, tuple[Callable[[Path], object], str]] = {
    "deleted": (Path.unlink, "result.missing"),
    "changed": (lambda path: path.write_bytes(b"other"), "result.corrupt"),
}


@pytest.mark.parametrize("name", TOUCHED)
def test_what_is_done_to_the_store_is_found(worked: Worked, tmp_path: Path, name: str) -> None:
    touch, rule = TOUCHED[name]
    row = next(segment for segment in read_history(worked.url).all_segments() if segment.rows_key)
    (path,) = [path for path in tmp_path.rglob("*") if str(path).endswith(row.rows_key)]
    touch(path)
    (violation,) = worked.verdict().violations
    assert (violation.rule, violation.segment_id, violation.job_id) == (rule, row.id, row.job_id)
