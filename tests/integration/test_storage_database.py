"""The pool and the schema against a PostgreSQL that misbehaves."""

from __future__ import annotations

import re
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

from deploy.local.child import kill_group
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.fleet import WorkerRow
from storage.job import JobState, Priority, SegmentKind, SegmentState
from storage.migrate import upgrade
from storage.migrations import HEAD
from storage.settings import DatabaseSettings, open_database
from tests import services
from tests.fakes.dead_ports import frozen_server, nobody


def one(database: Database, statement: str = "SELECT 1") -> Any:
    with database.transaction() as connection:
        return connection.execute(text(statement)).scalar()


def test_a_transaction_commits_at_its_end_and_rolls_back_on_an_exception(database: Database) -> None:
    insert = text("INSERT INTO lanes (lane, v) VALUES (:lane, 0)")
    with database.transaction() as connection:
        connection.execute(insert, {"lane": "kept"})
    with suppress(KeyError), database.transaction() as connection:
        connection.execute(insert, {"lane": "lost"})
        raise KeyError
    assert one(database, "SELECT string_agg(lane, ',') FROM lanes") == "kept"


def test_a_wrong_statement_is_a_mistake_and_not_an_outage(database: Database) -> None:
    with pytest.raises(ProgrammingError):
        one(database, "SELECT nothing FROM nowhere")
    with pytest.raises(IntegrityError):
        one(database, "INSERT INTO lanes (lane) VALUES ('no v')")


def cut_all_but_own(killer: Database) -> int:
    return one(
        killer,
        """SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'framequeue'""",
    )


def test_the_pool_recovers_by_itself_when_its_connections_are_cut(database: Database, database_url: str) -> None:
    killer = Database(database_url, pool_size=1)
    with database.transaction(), database.transaction():
        pass
    assert cut_all_but_own(killer) == 2
    assert [one(database), one(database)] == [1, 1]
    killer.close()


def test_a_connection_cut_within_a_transaction_is_unavailable(database: Database, database_url: str) -> None:
    killer = Database(database_url, pool_size=1)

    def cut_and_go_on() -> None:
        with database.transaction() as connection:
            cut_all_but_own(killer)
            connection.execute(text("SELECT 1"))

    def cut_before_commit() -> None:
        with database.transaction() as connection:
            connection.execute(text("SELECT 1"))
            cut_all_but_own(killer)

    for doomed in (cut_and_go_on, cut_before_commit):
        with pytest.raises(DatabaseUnavailable):
            doomed()
        assert one(database) == 1
    killer.close()


def test_a_killed_and_restarted_server_is_used_again_without_a_restart_of_ours() -> None:
    with services.running_postgres() as server:
        database = Database(server.url())
        assert one(database) == 1
        kill_group(server.child.pid)
        server.child.stop()
        with pytest.raises(DatabaseUnavailable):
            database.check()
        server.start()
        assert one(database) == 1
        database.close()


def test_nobody_listening_is_unavailable_within_the_time_out() -> None:
    with nobody() as port:
        database = Database(f"postgresql://nobody@127.0.0.1:{port}/none")
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            database.check()
        assert time.monotonic() - started < 4


def test_a_server_that_accepts_and_says_nothing_is_unavailable_within_the_time_out() -> None:
    with frozen_server() as port:
        database = Database(f"postgresql://nobody@127.0.0.1:{port}/none")
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            database.check()
        assert time.monotonic() - started < 6


def test_a_slow_statement_is_ended_and_reported_as_unavailable(database_url: str) -> None:
    database = Database(database_url, statement_timeout_seconds=0.1)
    with pytest.raises(DatabaseUnavailable, match="statement timeout"):
        one(database, "SELECT pg_sleep(5)")
    assert one(database) == 1
    database.close()


LATER = {
    "08006": "connection failure",
    "25006": "read-only transaction",
    "25P03": "idle in transaction for too long",
    "25P04": "transaction timeout",
    "40001": "serialization failure",
    "40P01": "deadlock",
    "53000": "insufficient resources",
    "53100": "disk full",
    "53200": "out of memory",
    "53300": "too many connections",
    "53400": "a configured limit",
    "55P03": "lock not available",
    "57014": "statement timeout",
    "57P01": "shutdown by an administrator",
    "57P02": "crash of another session",
    "57P03": "starting up",
    "57P05": "idle for too long",
    "58000": "system error",
    "58030": "I/O error",
}
NEVER = {
    "22003": "number out of range",
    "23505": "unique violation",
    "42P01": "no such table",
    "42501": "no right",
    "54000": "a row too large for its index",
    "54001": "statement too complex",
    "XX001": "data corrupted",
}


@pytest.mark.parametrize("code", [*LATER, *NEVER])
def test_every_error_says_whether_to_come_back_later(database: Database, code: str) -> None:
    raising = f"DO $$ BEGIN RAISE EXCEPTION 'as if: {(LATER | NEVER)[code]}' USING ERRCODE = '{code}'; END $$"
    expected = DatabaseUnavailable if code in LATER else DBAPIError
    with pytest.raises(expected, match="as if"), database.transaction() as connection:
        connection.execute(text(raising))
    assert one(database) == 1


def test_the_setting_of_the_statement_timeout_is_heeded(database_url: str) -> None:
    settings = DatabaseSettings(database_url=SecretStr(database_url), database_statement_timeout_seconds=0.1)
    database = open_database(settings)
    with pytest.raises(DatabaseUnavailable, match="statement timeout"):
        one(database, "SELECT pg_sleep(5)")
    database.close()


def test_a_read_only_server_is_unavailable(database: Database) -> None:
    name = one(database, "SELECT current_database()")
    with database.transaction() as connection:
        connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    database.close()
    with pytest.raises(DatabaseUnavailable, match="read-only"):
        one(database, "INSERT INTO lanes (lane, v) VALUES ('x', 0)")


def test_an_exhausted_pool_is_unavailable_and_not_a_hang(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.database.CHECKOUT_TIMEOUT_SECONDS", 0.1)
    database = Database(database_url, pool_size=1)
    with database.transaction(), pytest.raises(DatabaseUnavailable):
        one(database)
    assert one(database) == 1
    database.close()


def test_the_url_of_any_postgresql_form_is_taken(database_url: str) -> None:
    for scheme in ("postgres", "postgresql", "postgresql+psycopg2", "postgresql+asyncpg"):
        database = Database(database_url.replace("postgresql", scheme, 1))
        assert one(database) == 1
        database.close()


def test_check_refuses_a_database_without_the_schema(migrated_postgres: Any) -> None:
    url = migrated_postgres.create_database("never_migrated")
    database = Database(url)
    with pytest.raises(DatabaseUnavailable, match=r"revision none.*storage\.migrate"):
        database.check()
    upgrade(url)
    database.check()
    database.close()


def test_check_refuses_an_older_schema_and_takes_a_newer_one(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(DatabaseUnavailable, match="revision 0000"):
        database.check()
    with database.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.check()


def test_migrating_a_server_that_is_down_says_so() -> None:
    with nobody() as port, pytest.raises(DatabaseUnavailable):
        upgrade(f"postgresql://nobody@127.0.0.1:{port}/none")


def test_the_head_constant_is_the_newest_revision(database: Database) -> None:
    folder = Path(__file__).parents[2] / "storage" / "migrations" / "versions"
    assert max(path.name[:4] for path in folder.glob("[0-9]*.py")) == HEAD
    assert one(database, "SELECT version_num FROM alembic_version") == HEAD


@pytest.mark.parametrize(
    ("constraint", "words"),
    [
        ("jobs_state", {state.value for state in JobState}),
        ("jobs_priority", {priority.value for priority in Priority}),
        ("segments_state", {state.value for state in SegmentState}),
        ("segments_kind", {kind.value for kind in SegmentKind}),
        ("workers_state", {"live", "draining", "lost", "stopped"}),
    ],
)
def test_checks_in_sql_name_exactly_the_words_of_the_code(database: Database, constraint: str, words: set[str]) -> None:
    definition = one(database, f"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = '{constraint}'")
    assert set(re.findall(r"'(\w+)'", definition)) == words


def test_what_a_heartbeat_writes_is_in_no_index(database: Database) -> None:
    indexed = one(
        database,
        """SELECT array_agg(DISTINCT c.relname || '.' || a.attname)
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey)""",
    )
    written = {"workers.heartbeat_at", "segments.progress_done", "segments.progress_total", "jobs.progress"}
    assert not written & set(indexed)
    assert WorkerRow.__dataclass_fields__.keys() >= {"heartbeat_at"}


def test_threads_share_the_pool_without_mixing_answers(database: Database) -> None:
    wrong: list[tuple[int, Any]] = []

    def ask(number: int) -> None:
        for _ in range(20):
            if (answer := one(database, f"SELECT {number}")) != number:
                wrong.append((number, answer))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []
