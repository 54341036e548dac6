from __future__ import annotations

from datetime import UTC, datetime

import pytest
from framequeue.retry import delay_seconds, may_retry_status, retry_after_seconds

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("-4", 0.0),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str, seconds: float | None) -> None:
    assert retry_after_seconds({"retry-after": header}, NOW) == seconds


def test_without_retry_after_there_is_no_wish() -> None:
    assert retry_after_seconds({}) is None


@pytest.mark.parametrize(("attempt", "least", "most"), [(1, 0.25, 0.5), (2, 0.5, 1.0), (4, 2.0, 4.0), (9, 4.0, 8.0)])
def test_delays_double_up_to_a_bound_and_are_spread(attempt: int, least: float, most: float) -> None:
    assert delay_seconds(attempt, None, lambda: 0.0) == least
    assert delay_seconds(attempt, None, lambda: 1.0) == most


def test_what_the_server_asks_for_is_never_cut_short() -> None:
    assert delay_seconds(1, 7.0, lambda: 0.0) == 7.0
    assert 7.0 < delay_seconds(1, 7.0, lambda: 1.0) < 8.0


@pytest.mark.parametrize(
    ("status", "repeatable", "asked", "again"),
    [
        (408, True, None, True),
        (429, True, 2.0, True),
        (500, True, None, True),
        (502, True, None, True),
        (503, True, 5.0, True),
        (504, True, None, True),
        (400, True, None, False),
        (404, True, None, False),
        (409, True, None, False),
        (501, True, None, False),
        (500, False, None, False),
        (504, False, None, False),
        (503, False, None, True),
        (429, False, None, True),
        (429, True, 3600.0, False),
    ],
)
def test_only_what_may_change_and_may_happen_twice_is_tried_again(
    status: int, repeatable: bool, asked: float | None, again: bool
) -> None:
    assert may_retry_status(status, repeatable=repeatable, asked=asked) is again
