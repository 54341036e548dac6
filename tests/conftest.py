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


GPUS = "/dev/nvidia[0-9]*"


def pytest_configure(config: pytest.Config) -> None:
    """Take the developer's own settings out of the way: tests speak to what they started, to nothing else."""
    for name in [name for name in os.environ if name.startswith("FQ_") and name != "FQ_SHARED"]:
        del os.environ[name]
    if config.getoption("--gpu") and not glob.glob(GPUS):
        raise pytest.UsageError(f"no NVIDIA GPU is here: there is no {GPUS}")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know ``--gpu``, which `make test-gpu` gives."""
    parser.addoption("--gpu", action="store_true", help="refuse to run where no GPU is, rather than skip what needs it")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU on machines without."""
    if item.get_closest_marker("gpu") is not None and not glob.glob(GPUS):
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
