"""How often the dispatcher rings."""

from __future__ import annotations

import pytest

from workers.dispatcher.doorbells import rings_due

SHORT, LONG = ("cpu", "short"), ("cpu", "long")


@pytest.mark.parametrize(
    ("ready", "live", "length", "rings"),
    [
        (0, 4, 0, 0),
        (1, 4, 0, 1),
        (1, 4, 1, 0),
        (100, 4, 0, 8),
        (100, 4, 3, 5),
        (100, 4, 8, 0),
        (100, 4, 5000, 0),
        (100, 0, 0, 0),
        (10_000, 1000, 0, 500),
    ],
)
def test_one_lane(ready: int, live: int, length: int, rings: int) -> None:
    due = rings_due({SHORT: ready}, {SHORT: live}, {SHORT: length}, cap=500)
    assert due == ({SHORT: rings} if rings else {})


def test_the_cap_holds_over_all_lanes_and_the_fullest_goes_first() -> None:
    due = rings_due({SHORT: 30, LONG: 400}, {SHORT: 100, LONG: 100}, {}, cap=210)
    assert due == {LONG: 200, SHORT: 10}
