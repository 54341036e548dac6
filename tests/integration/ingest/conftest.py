"""The source and the bed of every test of ingest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from storage.database import Database
from storage.objects.local import LocalObjectStore
from tests.fakes.http_source import Source, http_source
from tests.integration.ingest.bed import Bed


@pytest.fixture
def source() -> Iterator[Source]:
    with http_source() as running:
        yield running


@pytest.fixture
def bed(database: Database, database_url: str, local_store: LocalObjectStore, source: Source) -> Iterator[Bed]:
    made = Bed(database, database_url, local_store, source)
    yield made
    made.close()
