"""Doorbells: every one ten times, and none at all. A message says only "look", so neither changes what is done."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from bench.faults.measure import runs_of_segments
from bench.faults.scenario import Outcome
from bench.faults.world import World
from workers.doorbell import Bell, BellSilent, queue_name

JOBS = 300
PER_SECOND = 10.0
QUEUES = tuple(queue_name("cpu", size_class) for size_class in ("short", "long"))


class TenBells:
    """Ten further messages for each submission; no queue cap holds them back."""

    name = "bells-ten"
    fault = "every doorbell ten times: ten further messages for each of 300 submissions"
    bar = "0 segments run more than once, all succeed"

    def run(self, world: World) -> Outcome:
        world.start()
        world.load.start(PER_SECOND)
        rung = 0
        with Bell(world.stack.state.redis_url) as bell:
            world.inject("ring", "every bell ten times")
            for _ in range(int(world.size(JOBS, least=30) / PER_SECOND)):
                world.pause(1)
                rung += 10 * self._ring(bell, int(PER_SECOND))
        world.load.stop()
        world.settle()
        segments, claims = runs_of_segments(world.books)
        states = world.books.states()
        figures = {"jobs": len(world.load.job_ids), "bells": rung, "segments": segments, "claims": claims}
        return Outcome(claims == segments and set(states) == {"succeeded"}, figures, f"jobs: {dict(states)}")

    def _ring(self, bell: Bell, times: int) -> int:
        try:
            bell.send(QUEUES[0], 10 * times)
        except BellSilent:
            return 0
        return times


class NoBells:
    """Who submits cannot ring, a thief empties the queues all the time: what is left is the dispatchers' round.

    One submission every few seconds, so that each finds all workers asleep.
    """

    name = "bells-none"
    fault = "no submission can ring a doorbell, and a thief empties the queues 5 times a second"
    bar = "all succeed, nobody waits more than 10 s to be started"

    def run(self, world: World) -> Outcome:
        # a port where nobody listens: the discard service, never there on loopback
        world.start(parts={"web*": {"FQ_REDIS_URL": "redis://127.0.0.1:9/0"}})
        world.inject("steal", "every bell")
        with self._thief(world.stack.state.redis_url) as stolen:
            for _ in range(world.size(40, least=3)):
                world.load.burst(1)
                world.pause(world.rng.uniform(2.5, 4))
            world.settle()
        waited = world.books.ask(
            "SELECT extract(epoch FROM max(started_at - queued_at))::float FROM jobs WHERE started_at IS NOT NULL"
        )[0][0]
        states = world.books.states()
        figures = {
            "jobs": len(world.load.job_ids), "bells_stolen": stolen[0], "longest_wait_seconds": round(float(waited), 2),
        }  # fmt: skip
        return Outcome(set(states) == {"succeeded"} and waited <= 10, figures, f"jobs: {dict(states)}")

    @contextmanager
    def _thief(self, redis_url: str) -> Iterator[list[int]]:
        over, stolen = threading.Event(), [0]

        def steal() -> None:
            with redis.Redis.from_url(redis_url) as broker:
                while not over.wait(0.2):
                    stolen[0] += sum(broker.llen(queue) for queue in QUEUES)
                    broker.delete(*QUEUES)

        thread = threading.Thread(target=steal, name="thief", daemon=True)
        thread.start()
        try:
            yield stolen
        finally:
            over.set()
            thread.join(5)


SCENARIOS = (TenBells(), NoBells())
