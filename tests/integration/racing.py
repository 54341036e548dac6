"""Threads that start at one barrier, and whose errors are not lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import text
from sqlalchemy.sql.elements import TextClause

from storage.database import Database

Answer = TypeVar("Answer")


def together(*calls: Callable[[], Answer], deadline_seconds: float = 60.0) -> Sequence[Answer]:
    """Run the calls at the same moment, each in its own thread; return their answers, raise the first error."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Answer]) -> Answer:
        barrier.wait(deadline_seconds)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(run, call) for call in calls]
        return [future.result(deadline_seconds) for future in futures]


_BLOCKED = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


def wait_until_blocked(database: Database, running: Sequence[Future[Any]], seconds: float = 10.0) -> bool:
    """Wait until each of these calls waits for a lock or is over; False when that takes too long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with database.transaction() as connection:
            blocked = connection.execute(_BLOCKED).scalar_one()
        if blocked + sum(one.done() for one in running) >= len(running):
            return True
        time.sleep(0.002)
    return False


def one_behind_the_other(database: Database, lock: TextClause, *calls: Callable[[], Any]) -> list[Any]:
    """Begin each call when the one before it waits behind ``lock``, then let go; return answers and errors."""
    with ThreadPoolExecutor(len(calls)) as pool:
        running: list[Future[Any]] = []
        with database.transaction() as holder:
            holder.execute(lock)
            for call in calls:
                running.append(pool.submit(call))
                assert wait_until_blocked(database, running), "a call neither waits nor ends"
        return [one.exception(30) or one.result() for one in running]
