"""The connection to PostgreSQL: one pool per process, errors translated once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from storage.deadline import answers_within
from storage.errors import DatabaseUnavailable
from storage.migrations import HEAD

#: how long a caller waits for a connection of the pool before it is told to come back later
CHECKOUT_TIMEOUT_SECONDS = 3.0
#: how long until the pool's connection has shown that it lives, or another one was made, after that wait
GREETING_SECONDS = 2.0
#: how much later than the server we give a statement up
MARGIN_SECONDS = 1.0
#: SQLSTATEs outside the driver's OperationalError that also mean "later": read-only, ended while idle or for its age
_LATER = frozenset({"25006", "25P03", "25P04"})
#: class of SQLSTATEs inside of it that are no better later: a statement or a value is beyond PostgreSQL's limits
_LIMITS = "54"
#: a dead peer is noticed in about 15 s instead of the kernel's two hours
_KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


def driver_url(url: str) -> URL:
    """Return the URL with psycopg2 as its driver. Raises: ValueError for anything but PostgreSQL."""
    scheme, _, rest = url.partition("://")
    if scheme.partition("+")[0] not in {"postgres", "postgresql"}:
        raise ValueError("the database URL must start with postgres:// or postgresql://")
    return make_url(f"postgresql+psycopg2://{rest}")


class Database:
    """A bounded pool; make it after a fork, close it at the end of the process."""

    def __init__(self, url: str, *, pool_size: int = 5, statement_timeout_seconds: float = 10.0) -> None:
        """Take any ``postgres://`` or ``postgresql://`` URL; psycopg2 is always the driver. Connects lazily."""
        self._engine = create_engine(
            driver_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=CHECKOUT_TIMEOUT_SECONDS,
            pool_pre_ping=True,
            hide_parameters=True,  # what users store does not belong into tracebacks
            connect_args=_connect_args(statement_timeout_seconds),
        )
        self._patience = statement_timeout_seconds + MARGIN_SECONDS
        self._process = os.getpid()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Commit at the end, roll back on an exception.

        Raises: DatabaseUnavailable when PostgreSQL refuses, does not answer, ends the connection or is read-only; then
        it is not known whether a commit under way took effect.
        """
        self._forget_connections_of_parent()
        try:
            with answers_within(GREETING_SECONDS, total=CHECKOUT_TIMEOUT_SECONDS + GREETING_SECONDS):
                opened = self._engine.connect()
            with answers_within(self._patience), opened as connection, connection.begin():
                yield connection
        except (DBAPIError, PoolTimeout) as error:
            if not means_unavailable(error):
                raise
            raise DatabaseUnavailable(_first_line(error)) from error

    def check(self) -> None:
        """Raise DatabaseUnavailable unless a statement can be run and the schema is at the head revision.

        A schema ahead of this program passes: in a rolling upgrade the database is migrated first.
        """
        with self.transaction() as connection:
            known = connection.execute(text("SELECT to_regclass('alembic_version') IS NOT NULL")).scalar_one()
            found = connection.execute(text("SELECT max(version_num) FROM alembic_version")).scalar() if known else None
        if found is None or int(found) < int(HEAD):
            raise DatabaseUnavailable(
                f"the schema is at revision {found or 'none'}, this program needs {HEAD}: run python -m storage.migrate"
            )

    def close(self) -> None:
        """Close every pooled connection."""
        self._engine.dispose()

    def _forget_connections_of_parent(self) -> None:
        # Two processes on one socket would read each other's answers; the parent still owns it, so do not close it.
        if self._process != os.getpid():
            self._process = os.getpid()
            self._engine.dispose(close=False)


def means_unavailable(error: BaseException) -> bool:
    """Whether an error says "try again later" rather than "this statement is wrong"."""
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return False
    cause = error.orig
    code: str | None = getattr(cause, "pgcode", None)
    if error.connection_invalidated or isinstance(cause, psycopg2.OperationalError | psycopg2.InterfaceError):
        return code is None or not code.startswith(_LIMITS)
    # libpq reports some broken connections as a bare DatabaseError without any SQLSTATE.
    return code in _LATER or (code is None and type(cause) is psycopg2.DatabaseError)


def _connect_args(statement_timeout_seconds: float) -> dict[str, Any]:
    millis = int(statement_timeout_seconds * 1000)
    # A transaction left open by a frozen process must not hold its row locks for ever.
    options = f"-c statement_timeout={millis} -c idle_in_transaction_session_timeout={3 * millis} -c timezone=UTC"
    return {
        "application_name": "framequeue",
        "options": options,
        **_KEEPALIVE,
    }


def _first_line(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
