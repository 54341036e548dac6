"""A receiver on loopback, and the bed of every test of webhooks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from storage.database import Database
from tests.fakes.webhook_receiver import Receiver, webhook_receiver
from tests.integration.webhooks.bed import Bed


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with webhook_receiver() as running:
        yield running


@pytest.fixture
def bed(database: Database, receiver: Receiver) -> Iterator[Bed]:
    made = Bed(database, receiver)
    yield made
    made.close()
