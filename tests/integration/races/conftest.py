"""A queue with a connection for each of eight workers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from storage.database import Database
from tests.fakes.sql_queue import SqlQueue


@pytest.fixture
def queue(database_url: str) -> Iterator[SqlQueue]:
    database = Database(database_url, pool_size=12)
    queue = SqlQueue(database)
    for number in range(8):
        queue.register(f"worker-{number}")
    yield queue
    database.close()
