"""What has had its time goes, row first, then object; what may still run, or be replayed, stays."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from storage.audit import Actor
from storage.batches.rows import NewBatch
from storage.batches.store import BatchStore
from storage.database import Database
from storage.dead.filter import DeadFilter
from storage.dead.letters import DeadLetters
from storage.errors import IdempotencyConflict, InputGone, JobNotFound, ObjectStoreUnavailable, StateConflict
from storage.ids import new_id
from storage.job import Bury, Claim, Done, Failed, Fault, InputRef, JobState, Rows, SegmentPlan
from storage.objects.keys import input_key, rows_key
from storage.retention import Keep, Retention
from storage.uploads import UploadStore
from tests.fakes.memory_store import MemoryObjectStore
from tests.fakes.sql_queue import SqlQueue, new_job
from tests.integration.racing import together
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


@pytest.fixture
def bed(database: Database) -> Bed:
    return Bed(database)


@pytest.fixture
def old_litter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything counts as old enough to be litter."""
    monkeypatch.setattr("workers.dispatcher.deletion.LITTER_AGE", timedelta(seconds=-60))


# what goes when


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED])
@pytest.mark.parametrize(
    ("days", "left"),
    [(29, ["inputs", "results"]), (31, ["results"]), (89, ["results"]), (91, [])],
)
def test_inputs_and_results_of_ended_jobs_go_each_in_its_time(
    bed: Bed, state: JobState, days: float, left: list[str]
) -> None:
    job_id = bed.ended(state, days=days)
    bed.duty.run_pass()
    bed.duty.run_pass()
    assert bed.stored(job_id) == left
    job = bed.queue.job(job_id)
    assert (job.input.key is None, job.input_deleted_at is None) == ("inputs" not in left, "inputs" in left)
    assert (job.results_deleted_at is None) == ("results" in left)
    assert bed.kinds(job_id).count("input_deleted") == ("inputs" not in left)
    assert bed.kinds(job_id).count("results_deleted") == ("results" not in left)


@pytest.mark.parametrize(("days", "left"), [(59, ["inputs", "results"]), (61, [])])
def test_a_dead_letter_keeps_all_until_its_own_time(bed: Bed, days: float, left: list[str]) -> None:
    job_id = bed.ended(JobState.DEAD, days=days)
    bed.duty.run_pass()
    assert bed.stored(job_id) == left
    (letter,) = DeadLetters(bed.queue.database).page(DeadFilter(), cursor=None, limit=5).jobs
    assert (letter.input_state, letter.refusal is None) == (("stored", True) if left else ("deleted", False))


def test_a_discarded_letter_goes_as_any_ended_job(bed: Bed) -> None:
    job_id = bed.ended(JobState.DEAD, days=31)
    bed.duty.run_pass()
    assert bed.stored(job_id) == ["inputs", "results"]
    DeadLetters(bed.queue.database).discard(DeadFilter(), by=Actor("key"))
    bed.duty.run_pass()
    assert bed.stored(job_id) == ["results"]


def test_for_ever_is_for_ever(bed: Bed) -> None:
    bed.keep(Keep())
    jobs = [bed.ended(state, days=5000) for state in (JobState.SUCCEEDED, JobState.DEAD)]
    bed.duty.run_pass()
    assert [bed.stored(job_id) for job_id in jobs] == [["inputs", "results"]] * 2


@pytest.mark.parametrize("state", ["uploading", "queued", "running"])
def test_nothing_of_a_job_that_has_not_ended_is_touched(bed: Bed, state: str) -> None:
    job_id = bed.job()
    bed.queue.execute(
        "UPDATE jobs SET state = :state, created_at = created_at - interval '10 years',"
        " updated_at = updated_at - interval '10 years'", state=state,
    )  # fmt: skip
    bed.duty.run_pass()
    assert bed.stored(job_id) == ["inputs"]
    assert bed.queue.job(job_id).state == state


def test_rows_go_last_with_all_that_hangs_on_them(bed: Bed) -> None:
    old, young = bed.ended(days=366), bed.ended(days=364)
    bed.duty.run_pass()
    with pytest.raises(JobNotFound):
        bed.queue.job(old)
    assert bed.queue.job(young).summary == {"boxes": 3}
    for table in ("segments", "job_events"):
        assert bed.queue.execute(f"SELECT FROM {table} WHERE job_id = CAST(:id AS uuid)", id=old) == []
    assert bed.stored(old) == bed.stored(young) == []


def test_a_dead_letter_that_is_kept_for_ever_keeps_its_row(bed: Bed) -> None:
    bed.keep(Keep(inputs=DAY, results=DAY, dead=0, jobs=2 * DAY))
    dead, done = bed.ended(JobState.DEAD, days=100), bed.ended(days=100)
    bed.duty.run_pass()
    assert bed.stored(dead) == ["inputs", "results"]
    assert bed.queue.job(dead).state is JobState.DEAD
    with pytest.raises(JobNotFound):
        bed.queue.job(done)


def test_an_idempotency_key_is_known_as_long_as_its_job(bed: Bed) -> None:
    job_id = bed.ended(days=364, idempotency_key="one", fingerprint="same")
    bed.duty.run_pass()
    again = bed.queue.store.create(new_job(idempotency_key="one", fingerprint="same"))
    assert (again.job.id, again.fresh) == (job_id, False)
    with pytest.raises(IdempotencyConflict):
        bed.queue.store.create(new_job(idempotency_key="one", fingerprint="another"))
    bed.queue.execute("UPDATE jobs SET finished_at = finished_at - interval '2 days'")
    bed.duty.run_pass()
    assert bed.queue.store.create(new_job(idempotency_key="one", fingerprint="another")).fresh


def test_a_webhook_that_is_still_to_be_sent_keeps_its_job(bed: Bed) -> None:
    job_id = bed.ended(days=400, webhook_url="https://example.org/hook")
    bed.duty.run_pass()
    assert bed.queue.job(job_id).state is JobState.SUCCEEDED
    bed.queue.execute("UPDATE webhook_events SET state = 'delivered', next_at = NULL")
    bed.duty.run_pass()
    with pytest.raises(JobNotFound):
        bed.queue.job(job_id)


def test_a_batch_goes_when_its_jobs_have_gone(bed: Bed) -> None:
    batches = BatchStore(bed.queue.database)
    old, young = new_id(), new_id()
    for batch_id in (old, young):
        batches.create(NewBatch(id=batch_id, tenant="tenant", fingerprint=batch_id))
    bed.ended(days=366, batch_id=old)
    kept = bed.ended(days=300, batch_id=young)
    for batch_id in (old, young):
        for index in range(10, 17):
            bed.queue.execute(
                "INSERT INTO batch_items (batch_id, index, state, digest, item, error)"
                " VALUES (CAST(:id AS uuid), :index, 'rejected', 'd', '{}', '{}')", id=batch_id, index=index,
            )  # fmt: skip
    bed.queue.execute("UPDATE batches SET state = 'finished', finished_at = clock_timestamp() - interval '366 days'")
    bed.keep(KEEP, batch=3)
    bed.duty.run_pass()
    assert [row.id for row in bed.queue.execute("SELECT id::text AS id FROM batches")] == [young]
    assert bed.count("batch_items") == 8
    assert bed.queue.job(kept).batch_id == young


def test_passes_are_bounded_and_come_to_an_end(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.dispatcher.retention.ROUNDS", 2)
    bed.keep(KEEP, batch=2)
    jobs = [bed.ended(days=31) for _ in range(9)]
    left = []
    for _ in range(4):
        bed.duty.run_pass()
        left.append(sum("inputs" in bed.stored(job_id) for job_id in jobs))
    assert left == [5, 1, 0, 0]


# between row and object


def test_what_a_crash_leaves_between_row_and_object_is_swept(bed: Bed, old_litter: None) -> None:
    old, replayable = bed.ended(days=100), bed.ended(JobState.DEAD, days=59)
    bed.objects.down = True
    for _ in range(2):
        with suppress(ObjectStoreUnavailable):
            bed.duty.run_pass()
    bed.objects.down = False
    assert bed.queue.job(old).input_deleted_at is not None
    assert "inputs" in bed.stored(old)
    for _ in range(3):
        bed.duty.run_pass()
    bed.walk()
    assert bed.stored(old) == []
    assert bed.stored(replayable) == ["inputs", "results"]


# replay


def test_a_replay_after_its_inputs_time_is_refused_at_once(bed: Bed) -> None:
    job_id = bed.ended(JobState.FAILED, days=31)
    bed.duty.run_pass()
    with pytest.raises(InputGone):
        bed.queue.store.replay(job_id)
    assert bed.queue.job(job_id).state is JobState.FAILED


def test_an_input_that_came_from_a_url_is_not_fetched_a_second_time(bed: Bed) -> None:
    job_id = bed.ended(days=31)
    bed.queue.execute("UPDATE jobs SET input_source_url = 'https://example.org/a.mp4'")
    bed.duty.run_pass()
    with pytest.raises(InputGone):
        bed.queue.store.replay(job_id)


def test_a_replay_after_its_results_time_does_everything_again(bed: Bed) -> None:
    bed.keep(Keep(results=DAY, dead=DAY))
    job_id = bed.ended(JobState.CANCELED, days=2)
    bed.duty.run_pass()
    assert bed.stored(job_id) == ["inputs"]
    job = bed.queue.store.replay(job_id)
    assert (job.results_deleted_at, job.segments_total) == (None, 0)
    bed.end_next(JobState.SUCCEEDED)
    assert bed.stored(job_id) == ["inputs", "results"]
    assert [bool(one.rows) for one in bed.queue.store.segment_results(job_id, 2)] == [True] * 3


def test_retention_and_replay_at_once_leave_a_run_with_its_input_or_no_run(bed: Bed) -> None:
    def replayed(job_id: str) -> bool:
        try:
            bed.queue.store.replay(job_id)
        except InputGone:
            return False
        return True

    for number in range(20):
        job_id = bed.ended((JobState.FAILED, JobState.SUCCEEDED)[number % 2], days=100)
        calls: list[Callable[[], Any]] = [partial(replayed, job_id), bed.duty.run_pass]
        ran, _ = together(*calls)
        bed.duty.run_pass()
        job = bed.queue.job(job_id)
        assert job.terminal != ran
        assert ("inputs" in bed.stored(job_id)) == ran
        assert (job.input_deleted_at is None) == ran
        if ran:
            assert job.results_deleted_at is None
            bed.queue.cancel(job_id)


def test_retention_against_claims_and_ends_never_takes_what_runs(bed: Bed) -> None:
    bed.keep(Keep(inputs=1e-9, results=1e-9, dead=1e-9, jobs=0))
    jobs = [bed.job() for _ in range(12)]

    def work() -> None:
        for _ in range(6):
            claim = bed.queue.claim("worker", limit=1, **WANTED)
            if claim is None:
                continue
            segment = claim.segments[0]
            source = segment.input.key
            assert source is not None
            # in hand and not ended: it must be there
            assert bed.objects.stat(source).size_bytes == 5
            bed.queue.finish(claim, [Failed(segment.id, FAULT)])

    def keep_house() -> None:
        for _ in range(12):
            bed.duty.run_pass()

    together(work, work, keep_house)
    bed.duty.run_pass()
    for job_id in jobs:
        ended = bed.queue.job(job_id).terminal
        assert bed.stored(job_id) == ([] if ended else ["inputs"])


# any order of things


def _moves(bed: Bed, dice: random.Random) -> Iterator[Callable[[], Any]]:
    """What may happen next, for ever."""
    dead = DeadLetters(bed.queue.database)
    jobs: list[str] = []
    while True:
        name = dice.choice(["end", "age", "replay", "duty", "discard", "cancel", "sweep"])
        if name == "end" or not jobs:
            state = dice.choice([JobState.SUCCEEDED, JobState.DEAD, JobState.FAILED, JobState.CANCELED])
            bed.queue.execute("UPDATE segments SET tag = tag + 1000 WHERE state = 'ready'")
            jobs.append(bed.ended(state, days=dice.choice([0, 31, 61, 91])))
        elif name == "age":
            yield partial(bed.queue.execute, "UPDATE jobs SET finished_at = finished_at - interval '30 days'")
        elif name == "replay":
            yield partial(_replay, bed, dice.choice(jobs))
        elif name == "cancel":
            yield partial(_cancel, bed, dice.choice(jobs))
        else:
            calls = {"duty": bed.duty.run_pass, "sweep": bed.walk}
            yield calls.get(name, partial(dead.discard, DeadFilter(), by=Actor("key")))


def _replay(bed: Bed, job_id: str) -> None:
    with suppress(InputGone, StateConflict, JobNotFound):
        bed.queue.store.replay(job_id)


def _cancel(bed: Bed, job_id: str) -> None:
    with suppress(JobNotFound):
        bed.queue.store.cancel(job_id)


@pytest.mark.parametrize("seed", range(6))
def test_in_any_order_of_things_rows_name_what_is_there(bed: Bed, old_litter: None, seed: int) -> None:
    moves = _moves(bed, random.Random(seed))
    for _ in range(40):
        next(moves)()
        named = bed.queue.execute(
            "SELECT input_key AS key FROM jobs WHERE input_key IS NOT NULL"
            " UNION ALL SELECT rows_key FROM segments WHERE rows_key IS NOT NULL"
        )
        there = {item.key for item in bed.objects.list("")}
        assert {row.key for row in named} <= there
        lost = bed.queue.execute(
            "SELECT id FROM jobs WHERE input_key IS NULL AND (finished_at IS NULL OR state = 'dead'"
            " AND discarded_at IS NULL AND finished_at > clock_timestamp() - interval '60 days')"
        )
        assert lost == []
