"""Races that the model check has found, each made to happen every time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from sqlalchemy import text

from storage.database import Database
from storage.errors import JobNotFound
from tests.fakes.sql_queue import SqlQueue
from tests.integration.racing import one_behind_the_other

JOBS = text("SELECT FROM jobs ORDER BY id FOR UPDATE")


@pytest.fixture
def queue(database_url: str) -> Iterator[SqlQueue]:
    database = Database(database_url, pool_size=6)
    queue = SqlQueue(database)
    for worker in ("worker-a", "worker-b"):
        queue.register(worker)
    yield queue
    database.close()


@pytest.mark.parametrize("later", ["replay", "erase"])
def test_whoever_waited_for_a_job_that_was_erased_is_told_that_it_is_gone(queue: SqlQueue, later: str) -> None:
    """It finds the job at first, then waits for the lock on a row that goes away."""
    job_id = queue.add_job()
    queue.cancel(job_id)
    waits = partial(getattr(queue.store, later), job_id)
    erased, answer = one_behind_the_other(queue.database, JOBS, partial(queue.store.erase, job_id), waits)
    assert erased == [f"inputs/{job_id}/source"]
    assert isinstance(answer, JobNotFound)
