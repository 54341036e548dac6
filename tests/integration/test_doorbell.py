"""The doorbell on a real Redis: coalesced, capped, never waited for."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from deploy.local.redis import EmbeddedRedis
from tests.fakes.dead_ports import nobody
from tests.integration.processes import frozen
from tests.integration.queue_bed import seconds_of, wait_until
from workers.doorbell import Bell, Doorbell, queue_name

QUEUE = queue_name("cpu", "short")


@pytest.fixture
def doorbell(redis_url: str) -> Iterator[Doorbell]:
    opened = Doorbell(redis_url)
    yield opened
    opened.close()


def length(redis_url: str, queue: str = QUEUE) -> int:
    with Bell(redis_url) as bell:
        return bell.length(queue)


def test_a_ring_becomes_a_message(doorbell: Doorbell, redis_url: str) -> None:
    doorbell.ring("cpu", "short")
    wait_until(lambda: length(redis_url), lambda found: found == 1, seconds=5)


def test_a_thousand_rings_are_coalesced_and_capped(doorbell: Doorbell, redis_url: str) -> None:
    for _ in range(1000):
        doorbell.ring("cpu", "short")
    doorbell.close()
    assert 1 <= length(redis_url) <= 64
    assert doorbell.sent == length(redis_url)


def test_a_full_queue_is_not_rung(redis_url: str) -> None:
    with Bell(redis_url) as bell:
        bell.send(QUEUE, 70)
    doorbell = Doorbell(redis_url)
    doorbell.ring("cpu", "short", 5)
    doorbell.ring("cpu", "long", 5)
    doorbell.close()
    assert (length(redis_url), length(redis_url, "cpu-long")) == (70, 5)


def test_ringing_a_redis_that_is_gone_takes_no_time_and_raises_nothing() -> None:
    with nobody() as port:
        doorbell = Doorbell(f"redis://127.0.0.1:{port}/0")
        assert seconds_of(lambda: doorbell.ring("cpu", "short")) < 0.0005
        wait_until(lambda: doorbell.failed, lambda failed: failed > 0, seconds=5)
        doorbell.close()


def test_ringing_a_frozen_redis_takes_no_time_and_rings_again_when_it_thaws(
    doorbell: Doorbell, redis_url: str, redis_server: EmbeddedRedis
) -> None:
    doorbell.ring("cpu", "short")
    wait_until(lambda: doorbell.sent, lambda sent: sent == 1, seconds=5)
    with frozen(redis_server):
        started = time.perf_counter()
        doorbell.ring("cpu", "long")
        assert time.perf_counter() - started < 1, "it waited for an answer, which takes 2 s to give up"
        wait_until(lambda: doorbell.failed, lambda failed: failed > 0, seconds=10)
    doorbell.ring("cpu", "urgent")
    wait_until(lambda: length(redis_url, "cpu-urgent"), lambda found: found == 1, seconds=10)


def test_a_flushed_redis_is_rung_over_the_same_connection(doorbell: Doorbell, redis_url: str) -> None:
    import redis

    doorbell.ring("cpu", "short")
    wait_until(lambda: length(redis_url), lambda found: found == 1, seconds=5)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    doorbell.ring("cpu", "short")
    wait_until(lambda: length(redis_url), lambda found: found == 1, seconds=5)


def test_a_forked_child_rings_with_a_thread_of_its_own(doorbell: Doorbell, redis_url: str) -> None:
    doorbell.ring("cpu", "short")
    wait_until(lambda: doorbell.sent, lambda sent: sent == 1, seconds=5)
    pid = os.fork()
    if pid == 0:
        doorbell.ring("cpu", "long")
        doorbell.close()
        os._exit(0 if doorbell.sent == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert length(redis_url, "cpu-long") == 1
    doorbell.ring("cpu", "short")
    wait_until(lambda: doorbell.sent, lambda sent: sent == 2, seconds=5)
