"""When a worker is deaf."""

from __future__ import annotations

import pytest

from workers.idle import is_deaf


@pytest.mark.parametrize(
    ("idle", "unheard", "messages", "deaf"),
    [
        (31.0, 31.0, 1, True),
        (6.0, 31.0, 1, True),  # it finds work without a bell, and has none just now
        (1.0, 90.0, 5, False),  # it is at work, and will hear them after it
        (29.0, 29.0, 5, False),  # it heard one lately
        (90.0, 90.0, 0, False),  # nobody rang: the dispatcher's matter
    ],
)
def test_only_bells_that_nobody_hears_though_all_are_idle_are_deafness(
    idle: float, unheard: float, messages: int, deaf: bool
) -> None:
    found = is_deaf(idle_seconds=idle, unheard_seconds=unheard, messages=messages, limit_seconds=30.0)
    assert found is deaf
