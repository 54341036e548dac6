"""The bed of every test of deletion."""

from __future__ import annotations

import pytest

from storage.database import Database
from tests.integration.deletion.bed import Bed


@pytest.fixture
def bed(database: Database) -> Bed:
    return Bed(database)
