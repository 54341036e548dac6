"""The bed of every test of retention."""

from __future__ import annotations

from datetime import timedelta

import pytest

from storage.database import Database
from tests.integration.retention.bed import Bed


@pytest.fixture
def bed(database: Database) -> Bed:
    return Bed(database)


@pytest.fixture
def old_litter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything counts as old enough to be litter."""
    monkeypatch.setattr("workers.dispatcher.deletion.LITTER_AGE", timedelta(seconds=-60))
