"""Doorbells: every one ten times, and none at all. A message says only "look", so neither changes what is done."""

from __future__ import annotations

from bench.faults.acl import refused_publishing
from bench.faults.measure import runs_of_segments
from bench.faults.scenario import Outcome
from bench.faults.world import World
from workers.doorbell import Bell, BellSilent, queue_name

JOBS = 300
PER_SECOND = 10.0
QUEUE = queue_name("cpu", "short")


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
            bell.send(QUEUE, 10 * times)
        except BellSilent:
            return 0
        return times


class NoBells:
    """Redis refuses every message from the first to the last; one submission at a time, when all workers are asleep."""

    name = "bells-none"
    fault = "no doorbell is rung at all: Redis refuses every message from everyone"
    bar = "all succeed, nobody waits more than 10 s to be started"

    def run(self, world: World) -> Outcome:
        world.start()
        with refused_publishing(world.stack.state.redis_url):
            world.inject("refuse", "every doorbell")
            for _ in range(world.size(40, least=3)):
                world.load.burst(1)
                world.pause(world.rng.uniform(1.5, 4))
            world.settle()
        waited = world.books.ask(
            "SELECT extract(epoch FROM max(started_at - queued_at))::float FROM jobs WHERE started_at IS NOT NULL"
        )[0][0]
        states = world.books.states()
        figures = {"jobs": len(world.load.job_ids), "longest_wait_seconds": round(float(waited), 2)}
        return Outcome(set(states) == {"succeeded"} and waited <= 10, figures, f"jobs: {dict(states)}")


SCENARIOS = (TenBells(), NoBells())
