"""Fixtures that every kind of test may use. A missing service fails; only a missing GPU skips what needs one."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from deploy.local.postgres import EmbeddedPostgres
from deploy.local.redis import EmbeddedRedis
from tests import services

if TYPE_CHECKING:
    from storage.database import Database
    from storage.objects.local import LocalObjectStore


def pytest_configure(config: pytest.Config) -> None:
    """Take the developer's own settings out of the way: tests speak to what they started, to nothing else."""
    for name in [name for name in os.environ if name.startswith("FQ_") and name != "FQ_SHARED"]:
        del os.environ[name]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know ``--gpu``, which `make test-gpu` gives."""
    parser.addoption("--gpu", action="store_true", help="fail what needs a GPU where there is none, and skip nothing")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU on machines without, or fail it where one was said to be there."""
    if item.get_closest_marker("gpu") is None or glob.glob("/dev/nvidia[0-9]*"):
        return
    if item.config.getoption("--gpu"):
        pytest.fail("no GPU is here: there is no /dev/nvidia0", pytrace=False)
    pytest.skip("no GPU is here; `make test-gpu` runs this on a machine that has one")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with test media (``data/``) and models (``models/``)."""
    return services.shared_folder()


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A running PostgreSQL, for the whole session."""
    with services.running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_postgres(postgres: EmbeddedPostgres) -> EmbeddedPostgres:
    """The server with a template database at the head revision."""
    from storage.migrate import upgrade

    upgrade(postgres.create_database(services.TEMPLATE))
    return postgres


@pytest.fixture
def database_url(migrated_postgres: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    with services.cloned_database(migrated_postgres) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh, migrated database."""
    from storage.database import Database

    opened = Database(database_url)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedRedis]:
    """A running Redis, for the whole session."""
    with services.running_redis() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """The URL of an empty Redis."""
    with redis.Redis.from_url(redis_server.url()) as client:
        client.flushall()
    return redis_server.url()


@pytest.fixture
def local_store(tmp_path: Path) -> LocalObjectStore:
    """An empty object store in a folder of this test."""
    from storage.objects.local import LocalObjectStore
    from storage.objects.signing import SignedUrls

    return LocalObjectStore(
        tmp_path / "objects", SignedUrls("a secret of at least thirty-two bytes", "http://127.0.0.1:1")
    )
