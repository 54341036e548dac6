"""``python -m workers.migrate``: schema and built-ins, on an empty database and again."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.postgres import EmbeddedPostgres
from storage.database import Database
from storage.models import Models
from storage.registry import Registry
from tests.integration.processes import running

_numbers = itertools.count(1)


@pytest.fixture
def empty_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    name = f"fq_empty_{next(_numbers)}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


def test_migrating_an_empty_database_registers_what_is_built_in_and_may_be_repeated(
    empty_url: str, tmp_path: Path
) -> None:
    for _ in range(2):
        with running("workers.migrate", tmp_path, database_url=empty_url) as program:
            assert program.popen.wait(60) == 0, program.log_path.read_text()
    database = Database(empty_url)
    database.check()
    registry = Registry(database)
    assert {row.name for row in registry.pipelines()} >= {"motion", "detect", "classify"}
    assert {row.name for row in Models(database).list()} >= {"yunet", "fastestdet"}
    assert all(row.digest for row in Models(database).list())
    database.close()
