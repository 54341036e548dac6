"""The queue that tests of claims are run on: PostgreSQL and the memory fake promise the same."""

from __future__ import annotations

import pytest

from tests.contract.claims.bed import Queue
from tests.fakes.memory_claims import MemoryClaims
from tests.fakes.sql_queue import SqlQueue


@pytest.fixture(params=["memory", "sql"])
def queue(request: pytest.FixtureRequest) -> Queue:
    queue = MemoryClaims() if request.param == "memory" else SqlQueue(request.getfixturevalue("database"))
    for worker in ("anna", "berta"):
        queue.register(worker)
    return queue
