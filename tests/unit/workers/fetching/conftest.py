"""A source on loopback, and the rules that allow it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.http_source import Source, http_source
from tests.unit.workers.fetching.bed import KIB
from workers.fetch_url import FetchRules


@pytest.fixture
def source() -> Iterator[Source]:
    with http_source() as running:
        yield running


@pytest.fixture
def rules(source: Source) -> FetchRules:
    return FetchRules(max_bytes=1000 * KIB, private_hosts=frozenset({f"127.0.0.1:{source.port}"}))
