"""When a worker is deaf."""

from __future__ import annotations

import pytest

from workers.idle import is_deaf


@pytest.mark.parametrize(
    ("idle", "oldest", "messages", "deaf"),
    [
        (31.0, 31.0, 1, True),
        (29.0, 90.0, 5, False),  # it did something lately
        (90.0, 29.0, 5, False),  # the work is fresh
        (90.0, 90.0, 0, False),  # nobody rang: the dispatcher's matter
    ],
)
def test_only_idleness_beside_old_work_and_waiting_messages_is_deafness(
    idle: float, oldest: float, messages: int, deaf: bool
) -> None:
    found = is_deaf(idle_seconds=idle, oldest_ready_seconds=oldest, messages=messages, limit_seconds=30.0)
    assert found is deaf
