"""Hints on a real Redis: a waiting client is woken, and an outage only makes it wait its time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager

import pytest
import redis

from tests.fakes.dead_ports import frozen_server, nobody
from tests.integration.queue_bed import seconds_of, wait_until
from workers.hints import Hints


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor


@pytest.fixture
def hints(redis_url: str) -> Iterator[Hints]:
    opened = Hints(redis_url)
    yield opened
    opened.close()


def waiting(pool: ThreadPoolExecutor, hints: Hints, job_id: str, seconds: float = 10.0) -> Future[bool]:
    """Wait in a thread, and return once the wait has begun to be heard."""
    begun = threading.Event()

    def wait() -> bool:
        begun.set()
        return hints.wait(job_id, seconds)

    future = pool.submit(wait)
    begun.wait()
    # the first wait of a process starts the listener; a hint sent before it listens is lost, as is allowed
    while not future.done():
        other = Hints(hints._url)
        other.tell("warm-up")
        other.close()
        if hints.wait("warm-up", 0.01) or hints._listening is not None:
            break
    return future


def test_a_hint_of_another_process_wakes_its_waiters_and_no_others(
    hints: Hints, pool: ThreadPoolExecutor, redis_url: str
) -> None:
    mine = [waiting(pool, hints, "a") for _ in range(3)]
    other = waiting(pool, hints, "b", 1.0)
    teller = Hints(redis_url)
    started = time.monotonic()
    while not all(future.done() for future in mine):
        teller.tell("a")
        assert time.monotonic() - started < 5
        time.sleep(0.05)
    assert [future.result() for future in mine] == [True] * 3
    assert other.result() is False
    teller.close()


def test_no_hint_means_false_after_the_time(hints: Hints) -> None:
    started = time.monotonic()
    assert hints.wait("a", 0.3) is False
    assert 0.3 <= time.monotonic() - started < 5


@pytest.mark.parametrize("outage", [nobody, frozen_server])
def test_without_redis_telling_takes_no_time_and_waiting_its_time(
    outage: Callable[[], AbstractContextManager[int]],
) -> None:
    with outage() as port:
        hints = Hints(f"redis://127.0.0.1:{port}/0")
        assert seconds_of(lambda: hints.tell("job")) < 0.0005
        assert hints.wait("a", 0.3) is False
        hints.close()


def test_the_stream_stays_short(redis_url: str) -> None:
    hints = Hints(redis_url, stream="short", max_length=100)
    for number in range(3000):
        hints.tell(f"job-{number}")
        if number % 500 == 499:
            wait_until(lambda: len(hints._told), lambda left: left == 0, seconds=5)
    hints.close()
    with redis.Redis.from_url(redis_url) as client:
        # trimmed in whole nodes of a hundred entries
        assert client.xlen("short") <= 300


def test_a_flush_in_between_loses_no_later_hint(hints: Hints, pool: ThreadPoolExecutor, redis_url: str) -> None:
    first = waiting(pool, hints, "a")
    teller = Hints(redis_url)
    wait_until(lambda: teller.tell("a") or first.done(), bool, seconds=5)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    second = waiting(pool, hints, "b")
    wait_until(lambda: teller.tell("b") or second.done(), bool, seconds=5)
    assert second.result() is True
    teller.close()


def test_closing_wakes_all_waiters(hints: Hints, pool: ThreadPoolExecutor) -> None:
    future = waiting(pool, hints, "a", 60.0)
    started = time.monotonic()
    hints.close()
    assert future.result(timeout=5) is False
    assert time.monotonic() - started < 5
