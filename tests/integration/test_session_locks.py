"""Locks that live as long as a connection."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import text

from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.session_locks import SessionLocks


def test_one_of_two_processes_gets_a_lock_and_the_other_gets_it_afterwards(database_url: str) -> None:
    one, two = SessionLocks(database_url), SessionLocks(database_url)
    with one.hold("a") as first, two.hold("a") as second, two.hold("b") as other:
        assert (first, second, other) == (True, False, True)
    with two.hold("a") as later:
        assert later
    one.close()
    two.close()


def test_two_threads_of_one_process_do_not_share_a_lock(database_url: str) -> None:
    locks = SessionLocks(database_url)
    answers = []

    def other() -> None:
        with locks.hold("a") as ours:
            answers.append(ours)

    with locks.hold("a") as ours:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(10)
    assert (ours, answers) == (True, [False])
    locks.close()


def test_a_lost_connection_loses_the_locks_and_the_next_call_makes_a_new_one(
    database: Database, database_url: str
) -> None:
    one, two = SessionLocks(database_url), SessionLocks(database_url)
    with one.hold("a") as ours:
        assert ours
        with database.transaction() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'framequeue-locks'"
                )
            )
        with pytest.raises(DatabaseUnavailable), one.hold("b"):
            pass
        with two.hold("a") as taken_over:
            assert taken_over
    with one.hold("b") as again:
        assert again
    one.close()
    two.close()


def test_the_lock_is_held_outside_any_transaction(database: Database, database_url: str) -> None:
    locks = SessionLocks(database_url)
    with locks.hold("a"), database.transaction() as connection:
        state = connection.execute(
            text("SELECT state FROM pg_stat_activity WHERE application_name = 'framequeue-locks'")
        ).scalar_one()
    assert state == "idle"
    locks.close()


def test_without_postgresql_it_says_so() -> None:
    with pytest.raises(DatabaseUnavailable), SessionLocks("postgresql://u:p@127.0.0.1:9/x").hold("a"):
        pass
