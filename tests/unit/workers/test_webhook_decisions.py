"""Webhooks, where nothing is sent: signatures, the schedule, and whose turn it is."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from storage.webhooks.outbox import Receiver
from workers.dispatcher.webhook_schedule import (
    DELAYS_SECONDS,
    GIVE_UP_SECONDS,
    JITTER,
    next_delay,
    retry_after_seconds,
)
from workers.dispatcher.webhook_signing import signature
from workers.dispatcher.webhook_turns import Bounds, share_out

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR = 3600.0

#: from the test suite of the specification's libraries
SECRET = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
VECTOR = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
SIGNED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_specifications_own_example_has_the_specifications_signature() -> None:
    assert signature([SECRET], *VECTOR) == SIGNED


def test_each_live_secret_adds_a_signature() -> None:
    first, second = signature([b"new" * 10, SECRET], *VECTOR).split(" ")
    assert second == SIGNED
    assert first == signature([b"new" * 10], *VECTOR) != SIGNED


@pytest.mark.parametrize("changed", [("msg_x", *VECTOR[1:]), (VECTOR[0], 1, VECTOR[2]), (*VECTOR[:2], b"{}")])
def test_id_time_and_body_are_all_signed(changed: tuple[str, int, bytes]) -> None:
    assert signature([SECRET], *changed) != SIGNED


@pytest.mark.parametrize(
    ("retries", "age", "jitter", "delay"),
    [
        (0, 0, 0.5, 5), (1, 5, 0.5, 30), (2, 35, 0.5, 120), (3, 155, 0.5, 600), (4, 755, 0.5, 1800),
        (5, 2555, 0.5, HOUR), (6, 1.7 * HOUR, 0.5, 2 * HOUR), (7, 3.7 * HOUR, 0.5, 4 * HOUR),
        (99, 40 * HOUR, 0.5, 4 * HOUR),
        (0, 0, 0.0, 4), (0, 0, 1.0, 6), (7, 10 * HOUR, 0.0, 3.2 * HOUR),
        # the last attempt comes when the time is over, and then no more
        (20, 71 * HOUR, 0.5, HOUR), (20, 72 * HOUR, 0.5, None), (0, 100 * HOUR, 0.5, None),
    ],
)  # fmt: skip
def test_delays_grow_to_four_hours_and_end_after_three_days(
    retries: int, age: float, jitter: float, delay: float | None
) -> None:
    found = next_delay(retries, age, jitter)
    assert found == (delay if delay is None else pytest.approx(delay))


def attempts_until_given_up(scale: float) -> int:
    age, retries = 0.0, 0
    while (delay := next_delay(retries, age, 0.5, scale=scale)) is not None:
        age, retries = age + delay, retries + 1
    assert age == pytest.approx(GIVE_UP_SECONDS * scale)
    return retries + 1


def test_a_scaled_schedule_has_as_many_attempts_in_less_time() -> None:
    assert attempts_until_given_up(1.0) == attempts_until_given_up(0.01) == 26


@pytest.mark.parametrize(
    ("asked", "scale", "delay"),
    [(60, 1.0, 60), (2, 1.0, 5), (86_400, 1.0, HOUR), (60, 0.01, 36), (None, 0.01, 0.05)],
)
def test_what_a_receiver_asks_for_is_honoured_within_bounds(asked: float | None, scale: float, delay: float) -> None:
    assert next_delay(0, 0, 0.5, retry_after=asked, scale=scale) == pytest.approx(delay)


@pytest.mark.parametrize(
    ("status", "text", "seconds"),
    [
        (503, "120", 120), (429, " 7 ", 7), (503, "Sun, 01 Mar 2026 12:01:30 GMT", 90),
        (503, "Sun, 01 Mar 2026 12:01:30 -0000", 90), (503, "Sun, 01 Mar 2026 11:00:00 GMT", 0),
        (500, "120", None), (200, "120", None), (503, "", None), (503, "soon", None), (503, "-5", None),
        (503, "1.5", None), (503, "\u0663", None), (429, "9" * 400, 999_999_999_999.0),
        (503, "Sun, 99 Mar 2026 12:01:30 GMT", None),
    ],
)  # fmt: skip
def test_retry_after_is_read_as_seconds_or_a_date(status: int, text: str, seconds: float | None) -> None:
    assert retry_after_seconds(status, {"retry-after": text}, NOW) == seconds
    assert retry_after_seconds(status, {}, NOW) is None


def test_no_delay_is_ever_below_its_jitter() -> None:
    for retries, plain in enumerate(DELAYS_SECONDS):
        assert next_delay(retries, 0, 0.0) == pytest.approx(plain * (1 - JITTER))


A, B, C = Receiver("a", "http://a"), Receiver("a", "http://b"), Receiver("z", "http://c")


@pytest.mark.parametrize(
    ("free", "due", "in_hand", "troubled", "rooms"),
    [
        (16, [A], {}, [], {A: 4}),
        (16, [A], {A: 3}, [], {A: 1}),
        (16, [A], {A: 4}, [], {}),
        (16, [A], {}, [A], {A: 1}),
        (16, [A], {A: 1}, [A], {}),
        (3, [A, B, C], {}, [], {A: 1, B: 1, C: 1}),
        (2, [B, C, A], {}, [], {B: 1, C: 1}),
        (5, [A, B, C], {}, [A], {A: 1, B: 2, C: 2}),
        # tenant a has ten of its twelve threads in use elsewhere
        (16, [A, B, C], {Receiver("a", "http://x"): 10}, [], {A: 1, B: 1, C: 4}),
        (0, [A], {}, [], {}),
        (16, [], {}, [], {}),
    ],
)  # fmt: skip
def test_threads_are_dealt_out_in_turns_and_within_bounds(
    free: int, due: list[Receiver], in_hand: dict[Receiver, int], troubled: list[Receiver], rooms: dict[Receiver, int]
) -> None:
    assert share_out(free, due, in_hand, troubled, Bounds.of(16)) == rooms


def test_even_one_thread_is_enough_for_everyone_in_turn() -> None:
    assert Bounds.of(1) == Bounds(1, 1)
    assert share_out(1, [A, B], {}, [], Bounds.of(1)) == {A: 1}
