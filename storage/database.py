"""The connection to PostgreSQL: one pool per process, errors translated once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import Connection


class Database:
    """A bounded pool; make it after a fork, close it at the end of the process."""

    def __init__(self, url: str, *, pool_size: int = 5, statement_timeout_seconds: float = 10.0) -> None:
        """Take any ``postgres://`` or ``postgresql://`` URL; psycopg2 is always the driver. Connects lazily."""
        raise NotImplementedError

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Commit at the end, roll back on an exception.

        Raises: DatabaseUnavailable when PostgreSQL refuses, times out, ends the connection or is read-only.
        """
        raise NotImplementedError

    def check(self) -> None:
        """Raise DatabaseUnavailable unless a statement can be run and the schema is at the head revision."""

    def close(self) -> None:
        """Close every pooled connection."""
