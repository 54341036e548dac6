"""The dispatcher's duties on real PostgreSQL and Redis, and the process as an operator starts it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from storage.database import Database
from storage.fleet import Fleet
from storage.ids import new_id
from storage.job import JobState, Retry
from storage.sql_claims import SqlClaims
from storage.upkeep import Upkeep
from tests.fakes.quiet_bell import QuietBell
from tests.integration.processes import running
from tests.integration.queue_bed import Bed, make_still, wait_until
from workers.dispatcher.doorbells import Doorbells
from workers.dispatcher.due import DueWork
from workers.dispatcher.duty import Duty
from workers.dispatcher.lost import LostClaims
from workers.dispatcher.process import Dispatcher
from workers.doorbell import Bell
from workers.retry import spread_blame


@pytest.fixture
def worker(database: Database) -> str:
    return enlist(database)


def enlist(database: Database) -> str:
    """A live worker's row."""
    worker_id = new_id()
    Fleet(database).register(
        worker_id, host="here", pid=1, lanes=["cpu"], size_classes=["short"], pipelines=["motion"], device={}
    )
    return worker_id


def claim(database: Database, worker_id: str, limit: int = 1) -> Any:
    return SqlClaims(database).claim(
        worker_id, lanes=["cpu"], size_classes=["short"], serves=[("motion", 99)], limit=limit
    )


def test_doorbells_are_rung_up_to_twice_the_live_workers(bed: Bed, worker: str, redis_url: str) -> None:
    for level in range(7):
        bed.submit(make_still(level))
    with Bell(redis_url) as bell:
        duty = Doorbells(Upkeep(bed.database), Fleet(bed.database), bell)
        for _ in range(3):
            duty.run_pass()
        assert bell.length("cpu-short") == 2


def test_nothing_is_rung_without_workers_or_without_work(bed: Bed, redis_url: str) -> None:
    with Bell(redis_url) as bell:
        duty = Doorbells(Upkeep(bed.database), Fleet(bed.database), bell)
        bed.submit(make_still())
        duty.run_pass()
        assert bell.length("cpu-short") == 0


def test_due_work_is_woken_and_rung_for(bed: Bed, worker: str) -> None:
    job_id = bed.submit(make_still())
    taken = claim(bed.database, worker)
    retry = spread_blame(RuntimeError("boom"), taken.segments[0])
    assert isinstance(retry, Retry)
    SqlClaims(bed.database).finish(taken, [Retry(retry.segment_id, retry.fault, 0.05, charged=False)])
    assert claim(bed.database, worker) is None
    bell = QuietBell()
    duty = DueWork(Upkeep(bed.database), bell)

    def woken() -> list[tuple[str, str, int]]:
        duty.run_pass()
        return bell.rung

    assert wait_until(woken, bool, seconds=5) == [("cpu", "short", 1)]
    again = claim(bed.database, worker)
    assert again.segments[0].job_id == job_id


def test_claims_of_a_silent_worker_come_back_only_after_one_even_lease(bed: Bed, worker: str) -> None:
    job_id = bed.submit(make_still())
    claim(bed.database, worker)
    age(bed.database, worker, 60)
    now = [1000.0]
    bell = QuietBell()
    duty = LostClaims(Fleet(bed.database), Upkeep(bed.database), bell, clock=lambda: now[0])
    # own clock and database's must run alike: both stand still here, but for the last look
    for _ in range(3):
        duty.look()
        duty.run_pass()
        assert bed.jobs.get(job_id).state == JobState.RUNNING
    even = LostClaims(Fleet(bed.database), Upkeep(bed.database), bell, lease_seconds=0.2)

    def taken_back() -> list[tuple[str, str, int]]:
        even.look()
        even.run_pass()
        return bell.rung

    assert taken_back() == []
    assert wait_until(taken_back, bool, seconds=5) == [("cpu", "short", 1)]
    job = bed.jobs.get(job_id)
    assert (job.state, job.attempts) == (JobState.QUEUED, 0)


def age(database: Database, worker_id: str, seconds: float) -> None:
    with database.transaction() as connection:
        connection.execute(
            text("UPDATE workers SET heartbeat_at = heartbeat_at - make_interval(secs => :s) WHERE id = :id"),
            {"s": seconds, "id": worker_id},
        )


class Steps:
    """A pass that counts, and may fail."""

    def __init__(self, fails: Callable[[int], bool] = lambda count: False) -> None:
        self.count = 0
        self._fails = fails

    def run_pass(self) -> None:
        self.count += 1
        if self._fails(self.count):
            raise RuntimeError("boom")


@contextmanager
def at_work(dispatcher: Dispatcher) -> Iterator[None]:
    thread = threading.Thread(target=dispatcher.run)
    thread.start()
    try:
        yield
    finally:
        dispatcher.stop()
        thread.join(5)
        assert not thread.is_alive()


def test_a_duty_that_raises_is_run_again_and_the_others_go_on(database: Database, tmp_path: Path) -> None:
    broken, fine = Steps(lambda count: count < 3), Steps()
    duties = [Duty("broken", broken, 0.01), Duty("fine", fine, 0.01)]
    with at_work(Dispatcher(duties, Upkeep(database).duty, alive_file=tmp_path / "alive")):
        wait_until(lambda: broken.count, lambda count: count >= 4, seconds=10)
        wait_until(lambda: fine.count, lambda count: count >= 4, seconds=10)
    assert (tmp_path / "alive").exists()


def test_replicas_take_turns(database: Database, tmp_path: Path) -> None:
    inside, most = [0], [0]
    lock = threading.Lock()

    class Exclusive:
        def run_pass(self) -> None:
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            threading.Event().wait(0.01)
            with lock:
                inside[0] -= 1
            counts.append(1)

    counts: list[int] = []
    replicas = [
        Dispatcher([Duty("only", Exclusive(), 0.001)], Upkeep(database).duty, alive_file=tmp_path / str(number))
        for number in range(2)
    ]
    with at_work(replicas[0]), at_work(replicas[1]):
        wait_until(lambda: len(counts), lambda count: count >= 20, seconds=20)
    assert most == [1]


def test_the_process_rings_for_waiting_work_and_stops_within_two_seconds(
    bed: Bed, worker: str, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    bed.submit(make_still())
    settings = {"database_url": database_url, "redis_url": redis_url, "alive_file": tmp_path / "alive"}
    with running("workers.dispatcher", tmp_path, **settings) as dispatcher:
        dispatcher.wait_for_event("dispatcher.started")
        with Bell(redis_url) as bell:
            wait_until(lambda: bell.length("cpu-short"), lambda found: found == 1, seconds=10)
        started = time.monotonic()
        os.kill(dispatcher.pid, signal.SIGTERM)
        assert dispatcher.popen.wait(5) == 0
        assert time.monotonic() - started < 3
        assert not dispatcher.events("duty.failed")


def test_the_process_survives_redis_being_away(bed: Bed, database_url: str, tmp_path: Path) -> None:
    worker = enlist(bed.database)
    bed.submit(make_still())
    settings = {"database_url": database_url, "redis_url": "redis://127.0.0.1:1/0", "alive_file": tmp_path / "alive"}
    with running("workers.dispatcher", tmp_path, **settings) as dispatcher:
        dispatcher.wait_for_event("duty.failed", seconds=20)
        claim(bed.database, worker)
        age(bed.database, worker, 60)
        # the other duties go on: the silent worker is found after one lease
        dispatcher.wait_for_event("claims.lost", seconds=30)
