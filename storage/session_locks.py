"""Advisory locks that live as long as a connection: for long work that should not be done twice at once.

Only a courtesy: whoever loses its connection loses its locks without being told. Work under such a lock must be
harmless when done twice. Behind a pooler that shares sessions between clients these locks do not work.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg2

from storage.database import driver_url
from storage.deadline import answers_within
from storage.errors import DatabaseUnavailable

_OPTIONS = "-c statement_timeout=3000"
#: one answer, or making the connection, may take so long
_ANSWER_SECONDS = 4.0


class SessionLocks:
    """Named locks on one connection of its own, which is idle but in no transaction; safe in many threads."""

    def __init__(self, url: str) -> None:
        """``url`` as for ``Database``; connects at the first lock."""
        self._url = driver_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._connection: psycopg2.extensions.connection | None = None
        self._held: set[str] = set()
        self._mutex = threading.Lock()

    @contextmanager
    def hold(self, name: str) -> Iterator[bool]:
        """Try to take a lock for the length of the block; yield whether we have it. Raises: DatabaseUnavailable."""
        with self._mutex:
            # PostgreSQL would give it to this session a second time
            ours = name not in self._held and self._call("pg_try_advisory_lock", name)
            if ours:
                self._held.add(name)
        try:
            yield ours
        finally:
            if ours:
                self._release(name)

    def close(self) -> None:
        """Let go of all locks."""
        with self._mutex:
            self._drop()

    def _release(self, name: str) -> None:
        with self._mutex:
            self._held.discard(name)
            # without a connection there is no lock any more either
            if self._connection is not None:
                with suppress(DatabaseUnavailable):
                    self._call("pg_advisory_unlock", name)

    def _call(self, function: str, name: str) -> bool:
        try:
            with answers_within(_ANSWER_SECONDS):
                return self._ask(function, name)
        except psycopg2.Error as error:
            self._drop()
            raise DatabaseUnavailable("PostgreSQL does not answer") from error

    def _ask(self, function: str, name: str) -> bool:
        if self._connection is None:
            self._connection = psycopg2.connect(
                self._url, application_name="framequeue-locks", options=_OPTIONS,
                keepalives_idle=5, keepalives_interval=3, keepalives_count=3,
            )  # fmt: skip
            self._connection.autocommit = True
        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT {function}(hashtextextended('framequeue session ' || %s, 0))", (name,))
            (answer,) = cursor.fetchone() or (False,)
            return bool(answer)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg2.Error):
                connection.close()
