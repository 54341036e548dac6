"""Fixtures of the HTTP API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.api_bed import Api, served_app, settings_for


@pytest.fixture
def api(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Api]:
    """The app on a fresh database, an empty Redis and an empty local store."""
    with served_app(settings_for(database_url, redis_url, tmp_path / "objects")) as made:
        yield made
