"""A PostgreSQL that is stopped in the middle of everything: nobody waits for it for ever."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from deploy.local.postgres import EmbeddedPostgres
from storage.database import Database
from storage.deadline import answers_within
from storage.errors import DatabaseUnavailable
from storage.migrate import upgrade
from storage.session_locks import SessionLocks
from tests import services
from tests.fakes.sql_queue import SqlQueue
from tests.integration.api_bed import PNG, served_app, settings_for

#: a caller hears of it within this, whatever it was doing
CHECKOUT_SECONDS = 6.0


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with services.running_postgres() as server:
        upgrade(server.url())
        yield server


@pytest.fixture
def database(server: EmbeddedPostgres) -> Iterator[Database]:
    database = Database(server.url(), pool_size=2, statement_timeout_seconds=0.5)
    yield database
    database.close()


@contextmanager
def frozen(server: EmbeddedPostgres) -> Iterator[None]:
    """Stop the postmaster, then all its children; let them go on at the end."""
    postmaster = server.child.pid
    os.kill(postmaster, signal.SIGSTOP)
    children = [int(pid) for pid in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()]
    for pid in children:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in [*children, postmaster]:
            os.kill(pid, signal.SIGCONT)


def ask(database: Database, statement: str = "SELECT 1") -> Any:
    with database.transaction() as connection:
        return connection.execute(text(statement)).scalar_one()


def seconds_until_unavailable(call: Callable[[], Any]) -> float:
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        call()
    return time.monotonic() - started


def test_a_pooled_connection_to_a_frozen_server_is_given_up_and_made_anew_later(
    server: EmbeddedPostgres, database: Database
) -> None:
    assert ask(database) == 1
    with frozen(server):
        assert seconds_until_unavailable(lambda: ask(database)) < CHECKOUT_SECONDS
        assert seconds_until_unavailable(lambda: ask(database)) < CHECKOUT_SECONDS
    assert ask(database) == 1


def test_a_statement_under_way_is_given_up_soon_after_the_servers_own_limit(
    server: EmbeddedPostgres, database: Database
) -> None:
    def ask_again() -> None:
        with database.transaction() as connection:
            connection.execute(text("SELECT 1"))
            thaw.enter_context(frozen(server))
            connection.execute(text("SELECT 2"))

    with ExitStack() as thaw:
        assert 1.0 < seconds_until_unavailable(ask_again) < 3.0
    assert ask(database) == 1


def test_a_commit_is_given_up_and_its_locks_are_free_when_the_server_wakes(
    server: EmbeddedPostgres, database: Database
) -> None:
    ask(database)

    def write() -> None:
        with database.transaction() as connection:
            connection.execute(text("INSERT INTO lanes (lane, v) VALUES ('frozen', 0)"))
            thaw.enter_context(frozen(server))

    with ExitStack() as thaw:
        assert 1.0 < seconds_until_unavailable(write) < 3.0
    # whether it took effect is not known, but the row can be written: nothing is left open
    overwrite = "INSERT INTO lanes (lane, v) VALUES ('frozen', 1) ON CONFLICT (lane) DO UPDATE SET v = 1 RETURNING v"
    assert ask(database, overwrite) == 1.0


def test_more_callers_than_connections_all_hear_of_it(server: EmbeddedPostgres, database: Database) -> None:
    ask(database)
    waits: list[float] = []
    with frozen(server):
        threads = [
            threading.Thread(target=lambda: waits.append(seconds_until_unavailable(lambda: ask(database))))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert len(waits) == 8
    assert max(waits) < CHECKOUT_SECONDS
    assert ask(database) == 1


def test_session_locks_are_given_up_with_the_server(server: EmbeddedPostgres) -> None:
    locks = SessionLocks(server.url())

    def hold() -> bool:
        with locks.hold("a name") as ours:
            return ours

    assert hold()
    with frozen(server):
        assert seconds_until_unavailable(hold) < CHECKOUT_SECONDS
    assert hold()
    locks.close()


def test_a_claim_that_hung_is_given_back_before_the_next_one(server: EmbeddedPostgres, database: Database) -> None:
    queue = SqlQueue(database)
    queue.register("anna")
    job_id = queue.add_job()
    wanted: dict[str, Any] = {"lanes": ["cpu"], "size_classes": ["short"], "serves": [("motion", 1)], "limit": 1}
    with frozen(server):
        seconds_until_unavailable(lambda: queue.claim("anna", **wanted))
    claim = queue.claim("anna", **wanted)
    assert claim is not None
    assert [segment.job_id for segment in claim.segments] == [job_id]


def test_the_api_answers_503_and_then_goes_on(server: EmbeddedPostgres, redis_url: str, tmp_path: Path) -> None:
    with served_app(settings_for(server.url(), redis_url, tmp_path / "objects")) as api:
        job_id = api.submitted()["id"]
        with frozen(server):
            for call in (lambda: api.submit(PNG), lambda: api.get(f"/v1/jobs/{job_id}"), lambda: api.get("/ready")):
                started = time.monotonic()
                response = call()
                assert response.status_code == 503, response.get_data(as_text=True)
                assert time.monotonic() - started < CHECKOUT_SECONDS
        assert api.get(f"/v1/jobs/{job_id}").status_code == 200
        assert api.submit(PNG).status_code == 202


def test_the_innermost_patience_counts_and_the_outer_one_comes_back(server: EmbeddedPostgres) -> None:
    slow = Database(server.url(), statement_timeout_seconds=60)

    def hurry() -> None:
        with slow.transaction() as connection, answers_within(0.1):
            connection.execute(text("SELECT pg_sleep(2)"))

    with answers_within(0.01):
        assert seconds_until_unavailable(hurry) < 1.0
        assert ask(slow, "SELECT 1 FROM pg_sleep(0.2)") == 1
    slow.close()
