"""Holding the database still at one exact point of somebody else's transaction, from outside."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import psycopg2
import psycopg2.extensions

from bench.embedded import eventually
from bench.faults.books import Books

REACHED_SECONDS = 15.0
TRIAL = "framequeue-faults-trial"


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
    enough = threading.Event()
    trial = threading.Thread(target=_commit_again_and_again, args=(books, enough), daemon=True)
    _configure(books, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    try:
        trial.start()
        sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = %s"
        eventually(lambda: books.ask(sql, TRIAL)[0][0] > 0, REACHED_SECONDS, "no COMMIT is held back")
        yield
    finally:
        enough.set()
        _configure(books, "ALTER SYSTEM RESET synchronous_standby_names")
        trial.join(REACHED_SECONDS)


def wait_until_writing(books: Books, words: str, since: float) -> None:
    """Return when a statement with these words, begun since then, waits for a lock."""
    sql = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
        " AND query_start > to_timestamp(%s)"
    )
    eventually(lambda: books.ask(sql, f"%{words}%", since)[0][0] > 0, REACHED_SECONDS, f"nobody waits to {words}")


def is_committing(books: Books, ports: Callable[[], frozenset[int]], within_seconds: float = 4.0) -> bool:
    """Return whether a session from one of these ports comes to wait for the answer to its COMMIT."""
    sql = "SELECT client_port FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        if not ports().isdisjoint(port for (port,) in books.ask(sql)):
            return True
        time.sleep(0.02)
    return False


def _commit_again_and_again(books: Books, enough: threading.Event) -> None:
    """Until the server has heard of its new setting: then a COMMIT hangs here, and returns with the release."""
    with contextlib.closing(psycopg2.connect(books.database_url, application_name=TRIAL)) as connection:
        while not enough.wait(0.02):
            with connection, connection.cursor() as cursor:
                cursor.execute("SELECT pg_logical_emit_message(true, 'trial', '')")


def _configure(books: Books, statement: str) -> None:
    """Change a setting of the server; its own session is not held up by it."""
    connection = psycopg2.connect(books.database_url, connect_timeout=5, options="-c synchronous_commit=local")
    try:
        connection.set_isolation_level(psycopg2.extensions.ISOLATION_LEVEL_AUTOCOMMIT)
        with connection.cursor() as cursor:
            cursor.execute(statement)
            cursor.execute("SELECT pg_reload_conf()")
    finally:
        connection.close()
