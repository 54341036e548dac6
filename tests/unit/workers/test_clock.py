"""When an old heartbeat is believed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from workers.dispatcher.clock import ClockWatch

START = datetime(2026, 1, 1, tzinfo=UTC)


def run(looks: list[tuple[float, float]]) -> list[bool]:
    """Feed (own seconds, database seconds) and return the answers; the lease is 15 s."""
    watch = ClockWatch(15.0)
    return [watch.look(own, START + timedelta(seconds=told)) for own, told in looks]


def even(start: int, end: int, skew: float = 0.0) -> list[tuple[float, float]]:
    """A look each second."""
    return [(float(second), second + skew) for second in range(start, end)]


def test_nothing_is_believed_in_the_first_lease() -> None:
    answers = run(even(0, 20))
    assert answers == [False] * 15 + [True] * 5


@pytest.mark.parametrize(
    ("name", "after"),
    [
        ("no look for six seconds", even(25, 45)),
        ("the database's clock jumped an hour ahead", even(20, 40, skew=3600.0)),
        ("the database's clock jumped back", even(20, 40, skew=-10.0)),
    ],
)
def test_a_gap_is_followed_by_one_quiet_lease(name: str, after: list[tuple[float, float]]) -> None:
    answers = run([*even(0, 20), *after])
    assert answers[15:20] == [True] * 5
    assert answers[20:35] == [False] * 15, name
    assert answers[35:] == [True] * 5, name


def test_small_unevenness_is_no_gap() -> None:
    looks = [*even(0, 20), (23.9, 23.0), (25.0, 25.9)]
    assert run(looks)[-2:] == [True, True]


def test_slow_drift_is_no_gap() -> None:
    assert run([(second, second * 1.01) for second in map(float, range(40))])[-1]
