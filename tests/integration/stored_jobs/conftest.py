"""A queue with one worker."""

from __future__ import annotations

import pytest

from storage.database import Database
from tests.fakes.sql_queue import SqlQueue


@pytest.fixture
def queue(database: Database) -> SqlQueue:
    queue = SqlQueue(database)
    queue.register("worker")
    return queue
