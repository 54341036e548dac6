"""Small decisions of the storage package that need no database."""

from __future__ import annotations

import json
import math
import os
import time
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg2 import errors as sqlstate
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from storage import migrate
from storage.access import is_well_formed, make_secret
from storage.database import driver_url, means_unavailable
from storage.fairness import step
from storage.ids import is_id, new_id
from storage.job import Fault, Priority
from storage.jsonb import clean_text, dump
from storage.places import place
from storage.settings import DatabaseSettings

# ids


def test_ids_are_version_7_and_sort_by_time() -> None:
    first = new_id()
    deadline = time.time_ns() // 1_000_000 + 1
    while time.time_ns() // 1_000_000 <= deadline:
        pass
    second = new_id()
    assert first < second
    assert UUID(first).version == 7
    assert UUID(first).variant == "specified in RFC 4122"
    assert abs((UUID(first).int >> 80) / 1000 - time.time()) < 60


@pytest.mark.parametrize("text", ["", "x", "../etc", new_id().upper(), new_id() + "\n", new_id()[:-1], "%00"])
def test_only_the_text_of_an_id_is_an_id(text: str) -> None:
    assert not is_id(text)
    assert is_id(new_id())


# jsonb


def test_what_postgresql_refuses_is_replaced() -> None:
    value = {"a\x00": ["\ud800x", float("nan"), float("inf"), 1.5, True, None, ("t",)], "n": {"b": 2**80}}
    assert dump(value) == (
        '{"a\ufffd": ["?x", null, null, 1.5, true, null, ["t"]], "n": {"b": 1208925819614629174706176}}'
    )
    assert clean_text(None) is None


def test_what_is_not_plain_data_is_a_mistake() -> None:
    with pytest.raises(TypeError):
        dump({"x": object()})
    with pytest.raises(TypeError):
        dump({"x": b"bytes"})


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_any_json_value_can_be_dumped(value: Any) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    text = dump(value)
    json.loads(text.encode("utf-8"), parse_constant=refuse)
    assert "\x00" not in text
    assert "\\u0000" not in text


# database


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2", "postgresql+psycopg"])
def test_psycopg2_is_always_the_driver(scheme: str) -> None:
    url = driver_url(f"{scheme}://user:p%40ss@host:5433/name?sslmode=require")
    assert url.render_as_string(hide_password=False) == (
        "postgresql+psycopg2://user:p%40ss@host:5433/name?sslmode=require"
    )


@pytest.mark.parametrize("url", ["mysql://h/d", "sqlite:///x", "host/db", ""])
def test_other_engines_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="postgresql://"):
        driver_url(url)


def wrapped(cause: Exception, *, invalidated: bool = False) -> DBAPIError:
    return DBAPIError("SELECT 1", {}, cause, connection_invalidated=invalidated)


@pytest.mark.parametrize(
    ("error", "later"),
    [
        (wrapped(psycopg2.OperationalError()), True),
        (wrapped(psycopg2.InterfaceError()), True),
        (wrapped(sqlstate.QueryCanceled()), True),
        (wrapped(sqlstate.DiskFull()), True),
        (wrapped(sqlstate.AdminShutdown()), True),
        (wrapped(sqlstate.TooManyConnections()), True),
        (wrapped(sqlstate.DeadlockDetected()), True),
        (wrapped(psycopg2.DatabaseError("error with status PGRES_TUPLES_OK and no message from the libpq")), True),
        (wrapped(psycopg2.ProgrammingError(), invalidated=True), True),
        (PoolTimeout(), True),
        (wrapped(psycopg2.ProgrammingError()), False),
        (wrapped(psycopg2.IntegrityError()), False),
        (wrapped(psycopg2.DataError()), False),
        (wrapped(psycopg2.InternalError()), False),
        (ValueError(), False),
    ],
)
def test_an_outage_is_told_from_a_mistake(error: BaseException, later: bool) -> None:
    assert means_unavailable(error) is later


# settings


def test_the_database_url_is_checked_at_start_and_masked() -> None:
    settings = DatabaseSettings(database_url="postgres://u:secret@h/d")  # type: ignore[arg-type]
    assert "secret" not in repr(settings)
    assert (settings.database_pool_size, settings.database_statement_timeout_seconds) == (5, 10.0)
    with pytest.raises(ValidationError, match="postgresql://") as refused:
        DatabaseSettings(database_url="mysql://u:secret@h/d")  # type: ignore[arg-type]
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        (None, 2, "FQ_DATABASE_URL: Field required"),
        ("mysql://u:secret@h/d", 2, "FQ_DATABASE_URL: "),
        ("postgresql://nobody@127.0.0.1:1/none", 1, "PostgreSQL does not answer"),
    ],
)
def test_migrate_says_in_one_line_what_is_wrong(
    url: str | None, code: int, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if url is not None:
        monkeypatch.setitem(os.environ, "FQ_DATABASE_URL", url)
    assert migrate.main() == code
    printed = capsys.readouterr().err
    assert printed.startswith(says)
    assert "secret" not in printed


def test_settings_come_from_the_environment_with_our_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "FQ_DATABASE_URL", "postgresql://h/d")
    monkeypatch.setitem(os.environ, "FQ_DATABASE_POOL_SIZE", "7")
    assert DatabaseSettings().database_pool_size == 7  # type: ignore[call-arg]


# keys


def test_a_key_has_the_promised_form_and_a_checksum_over_all_of_it() -> None:
    secret = make_secret()
    assert len(secret) == 3 + 43 + 6
    assert is_well_formed(secret)
    for place_of_typo in range(len(secret)):
        typo = "x" if secret[place_of_typo] != "x" else "y"
        assert not is_well_formed(secret[:place_of_typo] + typo + secret[place_of_typo + 1 :])
    assert not is_well_formed(secret + "A")
    assert not is_well_formed(secret[:-1])
    assert make_secret() != secret


# order


def test_weights_are_one_four_sixteen_and_urgent_moves_nothing() -> None:
    assert [step(priority, 16.0) for priority in Priority] == [16.0, 4.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("own", "segments", "first", "last", "position", "exact"),
    [
        (5.0, 0, None, None, 0, True),
        (5.0, 1000, 0.0, 4.0, 1000, True),
        (100.0, 1001, 0.0, 10.0, 10_010, False),
        (10.0, 1001, 10.0, 10.0, 1001, False),
        (-math.inf, 1001, None, -math.inf, 1001, False),
    ],
    ids=["nothing ahead", "a thousand", "dense tags", "one tag", "urgent"],
)
def test_the_place_is_counted_or_estimated(
    own: float, segments: int, first: float | None, last: float | None, position: int, exact: bool
) -> None:
    ahead: Any = SimpleNamespace(
        segments=segments, jobs=segments, seconds=float(segments), first_tag=first, last_tag=last
    )
    found = place(own, ahead)
    assert (found.position, found.exact) == (position, exact)
    assert found.seconds_ahead == pytest.approx(position)


def test_a_fault_stores_only_what_is_known() -> None:
    assert Fault("a.b", "m", worker="w").as_json() == {"code": "a.b", "message": "m", "worker": "w"}
