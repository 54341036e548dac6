"""Holding the database still at one exact point of somebody else's transaction, from outside."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import psycopg2
import psycopg2.extensions

from bench.embedded import eventually
from bench.faults.books import Books

REACHED_SECONDS = 15.0


@contextlib.contextmanager
def before_writing(books: Books, table: str) -> Iterator[None]:
    """Whoever writes to a table waits until the block ends; those who read do not."""
    connection = psycopg2.connect(books.database_url, connect_timeout=5)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
        yield
    finally:
        connection.close()


@contextlib.contextmanager
def at_commit(books: Books) -> Iterator[None]:
    """Every COMMIT is carried out, and its answer held back until the block ends, as if a standby were slow."""
    _configure(books, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    try:
        yield
    finally:
        _configure(books, "ALTER SYSTEM RESET synchronous_standby_names")


def wait_until_writing(books: Books, words: str, since: float) -> None:
    """Return when a statement with these words, begun since then, waits for a lock."""
    sql = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
        " AND query_start > to_timestamp(%s)"
    )
    eventually(lambda: books.ask(sql, f"%{words}%", since)[0][0] > 0, REACHED_SECONDS, f"nobody waits to {words}")


def wait_until_committing(books: Books, ports: frozenset[int]) -> None:
    """Return when a session from one of these ports waits for the answer to its COMMIT."""
    sql = "SELECT client_port FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    eventually(lambda: bool(ports & {port for (port,) in books.ask(sql)}), REACHED_SECONDS, "nobody waits for a COMMIT")


def _configure(books: Books, statement: str) -> None:
    """Change a setting of the server; its own sessions are not held up by it."""
    connection = psycopg2.connect(books.database_url, connect_timeout=5, options="-c synchronous_commit=local")
    try:
        connection.set_isolation_level(psycopg2.extensions.ISOLATION_LEVEL_AUTOCOMMIT)
        with connection.cursor() as cursor:
            cursor.execute(statement)
            cursor.execute("SELECT pg_reload_conf()")
    finally:
        connection.close()
    time.sleep(0.1)  # the signal is on its way to every session; none can be asked whether it has come
