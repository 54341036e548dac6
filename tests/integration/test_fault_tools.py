"""The tools of the fault harness on real servers: a store that goes and comes, a held COMMIT, a clock that jumps."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psycopg2
import pytest

from bench.embedded import eventually
from bench.faults.blocks import at_commit, before_writing, is_committing, wait_until_writing
from bench.faults.books import Books
from bench.faults.clock import FalseClock
from bench.faults.proxy import Mode
from bench.faults.s3 import BUCKET, KEY, SECRET, S3Server
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.reach import service_folder
from storage.errors import ObjectStoreUnavailable
from storage.objects.s3 import S3ObjectStore
from storage.objects.s3_access import S3Access


def test_store_behind_the_proxy_goes_comes_back_and_tells_who_asked(tmp_path: Path) -> None:
    with S3Server(tmp_path / "s3.log") as server:
        settings = server.environment("worker")
        assert settings["FQ_STORE"] == f"s3://{BUCKET}"
        access = S3Access(endpoint_url=settings["FQ_S3_ENDPOINT_URL"], access_key=KEY, secret_key=SECRET)
        store, door = S3ObjectStore(BUCKET, access), server.proxy.door("worker")
        store.put("inputs/a/source", b"kept")
        asked = len(door.requests)
        assert asked > 0
        for mode in (Mode.CUT, Mode.FREEZE):
            server.proxy.turn(mode)
            since = time.monotonic()
            with pytest.raises(ObjectStoreUnavailable):
                store.stat("inputs/a/source")
            assert door.asked(since) == 1
        server.proxy.turn(Mode.PASS)
        assert store.stat("inputs/a/source").size_bytes == 4
        assert server.store.stat("inputs/a/source").size_bytes == 4


@pytest.fixture(name="durable")
def _durable() -> object:
    """A server of its own: these tests change its settings, and need every COMMIT to go to the disk."""
    with service_folder("faults") as folder:
        clock = FalseClock(folder / "clock")
        with EmbeddedPostgres(
            folder / "data", password="secret", log_path=folder / "log", environment=clock.environment
        ) as server:
            books = Books(server.url())
            books.ask("CREATE TABLE notes (text text)")
            yield books, clock


def _port_of(connection: psycopg2.extensions.connection) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT inet_client_port()")
        return int(cursor.fetchone()[0])  # type: ignore[index]


def test_a_commit_is_carried_out_and_its_answer_held_back(durable: tuple[Books, FalseClock]) -> None:
    books, _ = durable
    connection = psycopg2.connect(books.database_url)
    port, done = _port_of(connection), threading.Event()
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO notes VALUES ('x')")

    def commit() -> None:
        connection.commit()
        done.set()

    thread = threading.Thread(target=commit)
    with at_commit(books):
        thread.start()
        assert is_committing(books, lambda: frozenset({port}))
        assert not done.is_set()
    thread.join(15)
    connection.close()
    assert done.is_set()
    assert books.ask("SELECT count(*) FROM notes") == [(1,)]


def test_a_writer_waits_before_the_table_and_a_reader_does_not(durable: tuple[Books, FalseClock]) -> None:
    books, _ = durable
    with before_writing(books, "notes"):
        since = books.now()
        thread = threading.Thread(target=books.ask, args=("INSERT INTO notes VALUES ('x')",))
        thread.start()
        wait_until_writing(books, "INSERT INTO notes", since)
        assert books.ask("SELECT count(*) FROM notes") == [(0,)]
    thread.join(15)
    assert books.ask("SELECT count(*) FROM notes") == [(1,)]


def test_the_database_s_clock_jumps_there_and_back(durable: tuple[Books, FalseClock]) -> None:
    books, clock = durable
    for offset in (3600, -3600, 0):
        clock.set(offset)
        eventually(lambda offset=offset: abs(books.now() - time.time() - offset) < 5, 10.0, "it did not follow")
