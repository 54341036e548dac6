"""What happens when several processes act on the same rows in the same moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from storage import claiming
from storage.claiming import Wanted
from storage.database import Database
from storage.errors import JobNotFound
from storage.ids import new_id
from storage.job import Claim, Done, JobState, SegmentPlan
from storage.migrate import upgrade
from tests.fakes.sql_queue import SqlQueue, new_job
from tests.integration.races.bed import SUMMARY, WANTED, done
from tests.integration.racing import together, wait_until_blocked


def take(queue: SqlQueue, number: int = 0, limit: int = 1) -> Claim:
    found = queue.claim(f"worker-{number}", limit=limit, **WANTED)
    assert found is not None
    return found


def split(queue: SqlQueue, parts: int) -> str:
    """A job in several ready parts; it stands in front of all that came before it."""
    job_id = queue.add_job(size_class="long", tag=-time.monotonic())
    found = take(queue)
    queue.plan(found, found.segments[0].id, [SegmentPlan(frames=2)] * parts, media={})
    return job_id


def test_many_claimers_never_share_and_leave_nothing_behind(queue: SqlQueue) -> None:
    made = queue.add_many(120) + queue.add_many(60, lane="gpu") + queue.add_many(40, size_class="long")

    def drain(number: int) -> list[str]:
        mine: list[str] = []
        while (found := queue.claim(f"worker-{number}", limit=1 + number % 4, **WANTED)) is not None:
            mine += [segment.job_id for segment in found.segments]
        return mine

    taken = [job_id for mine in together(*(partial(drain, number) for number in range(8))) for job_id in mine]
    assert sorted(taken) == sorted(made)


def test_no_claimer_goes_away_empty_while_others_lock_the_foremost_rows(queue: SqlQueue) -> None:
    for _ in range(15):
        queue.add_many(8)
        claims = together(*(partial(queue.claim, f"worker-{number}", limit=1, **WANTED) for number in range(8)))
        jobs = [segment.job_id for found in claims if found for segment in found.segments]
        assert len(set(jobs)) == 8


def test_a_claim_on_its_way_when_its_child_is_declared_dead_is_taken_back_with_the_rest(queue: SqlQueue) -> None:
    job_id = queue.add_job()
    wanted = Wanted((("cpu", "short"),), (("motion", 1),), 1)
    with ThreadPoolExecutor(1) as pool:
        with queue.database.transaction() as dying:
            assert claiming.take(dying, new_id(), "worker-0", wanted)
            burial = pool.submit(queue.lose_child, "worker-0")
            assert wait_until_blocked(queue.database, [burial])
            assert not burial.done(), "nobody says what the worker held before its claim has ended"
        assert burial.result(30).segments == 1
    assert queue.job(job_id).state == JobState.QUEUED
    assert queue.claim("worker-0", limit=1, **WANTED) is None, "who was declared dead takes no more"


def test_two_last_finishes_at_once_insert_exactly_one_merge(queue: SqlQueue) -> None:
    for _ in range(25):
        job_id = split(queue, 2)
        first, second = take(queue, 1), take(queue, 2)
        together(partial(queue.finish, first, done(first)), partial(queue.finish, second, done(second)))
        assert [segment.kind for segment in queue.segments(job_id)] == ["plan", "infer", "infer", "merge"]
        merge = take(queue)
        queue.finish(merge, [Done(merge.segments[0].id, summary=SUMMARY)])
        assert queue.job(job_id).state is JobState.SUCCEEDED


def test_cancel_against_finish_ends_in_exactly_one_state(queue: SqlQueue) -> None:
    for number in range(150):
        job_id = queue.add_job()
        found = take(queue)
        queue.plan(found, found.segments[0].id, [SegmentPlan()], media={})
        calls: list[Callable[[], Any]] = [
            partial(queue.finish, found, done(found, SUMMARY)),
            partial(queue.cancel, job_id),
        ]
        answers = together(*(calls if number % 2 else calls[::-1]))
        accepted, canceled = answers if number % 2 else answers[::-1]
        job = queue.job(job_id)
        assert job.state in {JobState.SUCCEEDED, JobState.CANCELED}
        assert list(accepted.values()) == [job.state is JobState.SUCCEEDED]
        assert canceled == (job.state is JobState.CANCELED)
        assert (job.summary == SUMMARY) == (job.state is JobState.SUCCEEDED)


def test_finishes_of_crossed_batches_do_not_deadlock(queue: SqlQueue) -> None:
    """Two claims hold segments of the same two jobs, in opposite orders."""
    for _ in range(30):
        split(queue, 2)
        split(queue, 2)
        parts = [take(queue, number) for number in range(4)]
        by_job: dict[str, list[Claim]] = {}
        for part in parts:
            by_job.setdefault(part.segments[0].job_id, []).append(part)
        (first, second), (third, fourth) = by_job.values()
        crossed = [_joined(queue, first, fourth), _joined(queue, third, second)]
        together(*(partial(queue.finish, claim, done(claim)[::-1]) for claim in crossed))
        merges = [take(queue, number) for number in range(2)]
        assert {segment.kind for merge in merges for segment in merge.segments} == {"merge"}
        for merge in merges:
            queue.finish(merge, [Done(merge.segments[0].id, summary=SUMMARY)])


def _joined(queue: SqlQueue, one: Claim, other: Claim) -> Claim:
    """Put the segments of two claims under one, as a worker with a batch of short segments would hold them."""
    queue.execute(
        "UPDATE segments SET claim_id = CAST(:new AS uuid), worker_id = :worker WHERE claim_id = CAST(:old AS uuid)",
        new=one.id,
        old=other.id,
        worker=one.worker_id,
    )
    return Claim(one.id, one.worker_id, one.segments + other.segments)


def test_concurrent_creates_with_one_idempotency_key_make_one_job(queue: SqlQueue) -> None:
    for number in range(10):
        calls = [partial(queue.store.create, new_job(idempotency_key=f"key {number}")) for _ in range(8)]
        answers = together(*calls)
        assert [answer.fresh for answer in answers].count(True) == 1
        assert len({answer.job.id for answer in answers}) == 1
    assert len(queue.execute("SELECT FROM segments")) == 10


def test_one_tenants_creates_at_once_get_distinct_tags(queue: SqlQueue) -> None:
    together(*(partial(queue.add_many, 10) for _ in range(8)))
    tags = [row.tag for row in queue.execute("SELECT tag FROM segments")]
    assert len(tags) == len(set(tags)) == 80


def test_erase_against_claim_leaves_no_row_behind(queue: SqlQueue) -> None:
    for _ in range(40):
        job_id = queue.add_job()
        together(partial(queue.store.erase, job_id), partial(queue.claim, "worker-1", limit=1, **WANTED))
        with pytest.raises(JobNotFound):
            queue.job(job_id)
        assert queue.execute("SELECT FROM segments") == []
        assert queue.execute("SELECT FROM job_events") == []


LOCKS = {
    "job": "SELECT FROM jobs WHERE id = CAST(:id AS uuid) FOR UPDATE",
    "segment": "SELECT FROM segments WHERE job_id = CAST(:id AS uuid) FOR UPDATE",
}


@pytest.mark.parametrize("locked", ["job", "segment"])
def test_a_claim_waits_for_nobody(queue: SqlQueue, locked: str) -> None:
    """It locks segments only, and passes over those that another transaction has in hand."""
    first, second = queue.add_many(2)
    with queue.database.transaction() as other:
        other.execute(text(LOCKS[locked]), {"id": first})
        with queue.database.transaction() as connection:
            connection.execute(text("SET LOCAL lock_timeout = '1s'"))
            found = claiming.take(
                connection, new_id(), "worker-0", Wanted((("cpu", "short"),), (("motion", 1),), limit=1)
            )
    assert found is not None
    assert [segment.job_id for segment in found.segments] == [first if locked == "job" else second]


def test_a_heartbeat_waits_for_nobody(queue: SqlQueue) -> None:
    job_id = queue.add_job()
    found = take(queue)
    with queue.database.transaction() as other:
        for lock in LOCKS.values():
            other.execute(text(lock), {"id": job_id})
        started = time.monotonic()
        assert queue.heartbeat("worker-0", {found.segments[0].id: (1, 2)}).held == {found.id}
    assert time.monotonic() - started < 3


def test_migrating_twice_at_once_runs_each_revision_once(migrated_postgres: Any) -> None:
    url = migrated_postgres.create_database("migrated_twice")
    together(*(partial(upgrade, url) for _ in range(4)))
    database = Database(url)
    database.check()
    database.close()
