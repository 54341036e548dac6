"""Workers come, fall silent and leave; nothing they held is lost, and nothing an outage hides is leaked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage.claims import NOTHING_LOST
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.fleet import LEASE_SECONDS, Fleet
from storage.job import Claim, Done, JobState, SegmentPlan
from storage.sql_claims import SqlClaims
from tests.fakes.sql_queue import SqlQueue
from tests.integration.queue_bed import wait_until

WANTED: dict[str, Any] = {"lanes": ["cpu"], "size_classes": ["short", "long"], "serves": [("motion", 1)]}


@pytest.fixture
def queue(database: Database) -> SqlQueue:
    queue = SqlQueue(database)
    queue.register("anna")
    queue.register("berta")
    return queue


def take(queue: SqlQueue, worker: str = "anna", limit: int = 1) -> Claim:
    found = queue.claim(worker, limit=limit, **WANTED)
    assert found is not None
    return found


def test_a_registered_worker_is_listed_with_what_it_holds(queue: SqlQueue) -> None:
    queue.add_many(2)
    take(queue, limit=2)
    anna, berta = queue.fleet.list()
    assert (anna.id, anna.state, anna.claimed_segments, berta.claimed_segments) == ("anna", "live", 2, 0)
    assert (anna.lanes, anna.size_classes, anna.device) == (["cpu"], ["short", "long"], {"kind": "cpu"})
    assert queue.fleet.live_by_lane() == {("cpu", "short"): 2, ("cpu", "long"): 2}


def test_a_worker_that_leaves_gives_everything_back_uncharged(queue: SqlQueue) -> None:
    jobs = queue.add_many(3)
    found = take(queue, limit=3)
    lost = queue.fleet.leave("anna")
    assert (lost.segments, lost.buried, lost.lanes) == (3, 0, frozenset({("cpu", "short")}))
    assert queue.fleet.leave("anna") == NOTHING_LOST
    assert not queue.holds(found)
    assert [(queue.job(job_id).state, queue.job(job_id).attempts) for job_id in jobs] == [(JobState.QUEUED, 0)] * 3
    assert len(take(queue, "berta", limit=3).segments) == 3
    assert [(worker.id, worker.state) for worker in queue.fleet.list()] == [("anna", "stopped"), ("berta", "live")]


def test_only_a_worker_past_its_lease_is_lost(queue: SqlQueue) -> None:
    queue.add_many(2, batch_key="x")
    take(queue)
    take(queue, "berta")
    queue.silence("anna", LEASE_SECONDS - 3)
    assert queue.fleet.lose_silent() == NOTHING_LOST
    queue.silence("anna")
    lost = queue.fleet.lose_silent()
    assert (lost.segments, lost.lanes) == (1, frozenset({("cpu", "short")}))
    assert {worker.id: worker.state for worker in queue.fleet.list()} == {"anna": "lost", "berta": "live"}
    assert queue.heartbeat("anna", {}).lost
    assert not queue.heartbeat("berta", {}).lost


def test_what_a_lost_worker_claimed_in_that_very_moment_is_found_by_the_next_pass(queue: SqlQueue) -> None:
    """A claim may commit after the pass that declared its worker lost has looked."""
    queue.add_job()
    take(queue)
    queue.silence("anna")
    queue.execute("UPDATE workers SET state = 'lost', gone_at = clock_timestamp() WHERE id = 'anna'")
    assert queue.fleet.lose_silent().segments == 1


def test_a_dead_child_whose_work_is_just_being_taken_back_is_not_taken_for_a_silent_host(queue: SqlQueue) -> None:
    """Else poison would be charged to nobody whenever the dispatcher looks between two statements."""
    queue.add_job()
    take(queue)
    queue.execute("UPDATE workers SET state = 'lost', gone_at = clock_timestamp() WHERE id = 'anna'")
    assert queue.fleet.lose_silent() == NOTHING_LOST
    queue.silence("anna")
    assert queue.fleet.lose_silent().segments == 1


def test_a_worker_that_died_before_the_clock_was_put_back_is_lost_all_the_same(queue: SqlQueue) -> None:
    queue.add_job()
    take(queue)
    queue.silence("anna", -3600)
    queue.silence("berta", -1)
    assert queue.fleet.lose_silent().segments == 1
    assert {worker.id: worker.state for worker in queue.fleet.list()} == {"anna": "lost", "berta": "live"}


def test_claims_of_a_worker_without_a_row_are_freed(queue: SqlQueue) -> None:
    queue.add_job()
    take(queue)
    queue.execute("DELETE FROM workers WHERE id = 'anna'")
    assert queue.fleet.lose_silent().segments == 1


def test_many_segments_are_taken_back_in_batches(queue: SqlQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.losing.BATCH", 4)
    queue.add_many(10)
    take(queue, limit=10)
    assert queue.lose_host("anna").segments == 10


def test_a_silent_worker_that_wakes_up_in_time_keeps_its_work(queue: SqlQueue) -> None:
    queue.add_job()
    found = take(queue)
    queue.plan(found, found.segments[0].id, [SegmentPlan()], media={})
    queue.lose_host("anna")
    assert queue.heartbeat("anna", {}).lost
    queue.register("anna")
    beat = queue.heartbeat("anna", {})
    assert (beat.lost, beat.held) == (False, frozenset({found.id}))
    assert queue.finish(found, [Done(found.segments[0].id, summary={})]) == {found.segments[0].id: True}


def test_drain_asks_only_workers_that_are_there(queue: SqlQueue) -> None:
    assert queue.fleet.drain("anna")
    assert not queue.fleet.drain("nobody")
    queue.fleet.leave("berta")
    assert not queue.fleet.drain("berta")
    assert queue.heartbeat("anna", {}).draining
    assert queue.fleet.live_by_lane() == {}


def test_workers_long_gone_are_forgotten(queue: SqlQueue) -> None:
    queue.fleet.leave("anna")
    assert queue.upkeep.forget_workers() == 0
    queue.execute("UPDATE workers SET gone_at = gone_at - :day WHERE id = 'anna'", day=timedelta(days=2))
    assert queue.upkeep.forget_workers() == 1
    assert [worker.id for worker in queue.fleet.list(include_gone_seconds=1e6)] == ["berta"]


class DatabaseThatLosesAnswers(Database):
    """Commits, and then the connection breaks before the answer is there."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.answers_to_lose = 0

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with super().transaction() as connection:
            yield connection
        if self.answers_to_lose:
            self.answers_to_lose -= 1
            raise DatabaseUnavailable("server closed the connection unexpectedly")


@pytest.fixture
def shaky(queue: SqlQueue, database_url: str) -> Iterator[DatabaseThatLosesAnswers]:
    database = DatabaseThatLosesAnswers(database_url)
    yield database
    database.close()


def test_a_claim_whose_answer_was_lost_is_given_back_before_the_next_one(
    queue: SqlQueue, shaky: DatabaseThatLosesAnswers
) -> None:
    made = queue.add_many(3)
    claims = SqlClaims(shaky)
    shaky.answers_to_lose = 1
    with pytest.raises(DatabaseUnavailable):
        claims.claim("anna", limit=3, **WANTED)
    assert len(claims.heartbeat("anna", {}).held) == 1
    found = claims.claim("anna", limit=3, **WANTED)
    assert found is not None
    assert [segment.job_id for segment in found.segments] == made
    assert claims.heartbeat("anna", {}).held == {found.id}


def test_a_finish_and_a_plan_whose_answers_were_lost_can_be_repeated(
    queue: SqlQueue, shaky: DatabaseThatLosesAnswers
) -> None:
    job_id = queue.add_job()
    found = take(queue)
    claims = SqlClaims(shaky)
    parts = [SegmentPlan()]
    shaky.answers_to_lose = 1
    with pytest.raises(DatabaseUnavailable):
        claims.plan(found, found.segments[0].id, parts, media={})
    infer = claims.plan(found, found.segments[0].id, parts, media={})
    assert infer is not None
    done = [Done(infer.id, summary={})]
    shaky.answers_to_lose = 1
    with pytest.raises(DatabaseUnavailable):
        claims.finish(found, done)
    assert claims.finish(found, done) == {infer.id: True}
    assert queue.job(job_id).state is JobState.SUCCEEDED


def test_a_job_that_is_locked_at_the_claim_is_marked_when_it_is_free(queue: SqlQueue) -> None:
    first, second = queue.add_many(2)
    found: list[Claim | None] = []
    claiming = threading.Thread(target=lambda: found.append(queue.claim("anna", limit=2, **WANTED)))
    with queue.database.transaction() as other:
        other.execute(text("SELECT FROM jobs WHERE id = CAST(:id AS uuid) FOR UPDATE"), {"id": first})
        claiming.start()
        wait_until(lambda: queue.job(second).state, lambda state: state is JobState.RUNNING, seconds=10)
        assert queue.job(first).state is JobState.QUEUED
    claiming.join(10)
    assert queue.job(first).state is JobState.RUNNING
    assert len(found) == 1


def test_a_claim_stands_when_marking_its_jobs_running_fails(
    queue: SqlQueue, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = queue.add_job()

    def breaks(*_: Any) -> None:
        raise DatabaseUnavailable("server closed the connection unexpectedly")

    with monkeypatch.context() as patched, queue.database.transaction() as other:
        other.execute(text("SELECT FROM jobs FOR UPDATE"))
        patched.setattr("storage.sql_claims.mark_running", breaks)
        found = take(queue)
    assert queue.job(job_id).state is JobState.QUEUED
    queue.plan(found, found.segments[0].id, [SegmentPlan()], media={})
    queue.finish(found, [Done(found.segments[0].id, summary={})])
    assert queue.job(job_id).state is JobState.SUCCEEDED


def test_a_fleet_of_another_process_sees_the_same(queue: SqlQueue, database: Database) -> None:
    assert Fleet(database).list() == queue.fleet.list()
