"""The morgue of every test of dead letters."""

from __future__ import annotations

import pytest

from storage.database import Database
from tests.integration.dead_letters.morgue import Morgue


@pytest.fixture
def morgue(database: Database) -> Morgue:
    return Morgue(database)
