"""The real services that tests run on: one PostgreSQL and one Redis per session, one database per test."""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.postgres import EmbeddedPostgres
from deploy.local.reach import service_folder
from deploy.local.redis import EmbeddedRedis

REPOSITORY = Path(__file__).resolve().parent.parent
TEMPLATE = "fq_template"

_numbers = itertools.count(1)


@contextmanager
def running_postgres() -> Iterator[EmbeddedPostgres]:
    """A throwaway server; a failure to start is a failure of the tests."""
    with service_folder("pg") as folder:
        password = secrets.token_urlsafe(16)
        with EmbeddedPostgres(
            folder / "data", password=password, log_path=folder / "postgres.log", durable=False
        ) as server:
            yield server


@contextmanager
def running_redis() -> Iterator[EmbeddedRedis]:
    """A throwaway server without persistence."""
    with service_folder("redis") as folder:
        password = secrets.token_urlsafe(16)
        with EmbeddedRedis(folder / "data", password=password, log_path=folder / "redis.log", durable=False) as server:
            yield server


@contextmanager
def cloned_database(server: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a fresh copy of the migrated template."""
    name = f"fq_test_{next(_numbers)}"
    url = server.create_database(name, template=TEMPLATE)
    try:
        yield url
    finally:
        server.drop_database(name)


def shared_folder() -> Path:
    """Where the test media and models lie: ``$FQ_SHARED``, else ``../shared`` beside the checkout.

    Raises: FileNotFoundError, so that a missing folder fails tests instead of skipping them.
    """
    folder = Path(os.environ.get("FQ_SHARED") or REPOSITORY.parent / "shared")
    if not (folder / "data" / "manifest.csv").is_file():
        raise FileNotFoundError(f"no test media in {folder}: set FQ_SHARED to the folder that holds data/manifest.csv")
    return folder
