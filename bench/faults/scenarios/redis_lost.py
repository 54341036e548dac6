"""Redis is killed, emptied, refuses every message, or freezes: messages are doorbells, so nothing is lost with them."""

from __future__ import annotations

import time
from collections.abc import Sequence

import redis

from bench.faults.acl import refused_publishing
from bench.faults.load import Sent
from bench.faults.measure import first_start_after, longest_silence, spread, statuses
from bench.faults.nemesis import Injection
from bench.faults.scenario import Outcome
from bench.faults.world import World

START_SECONDS = 10.0
POST_SECONDS = 2.5


def _all_taken(requests: Sequence[Sent]) -> bool:
    return bool(requests) and {sent.status for sent in requests} == {202}


def _outcome(world: World, starts: Sequence[float | None], requests: Sequence[Sent]) -> Outcome:
    """Judge what these have in common: every POST is taken, work starts soon after the return, nothing is lost."""
    states = world.books.states()
    known = [seconds for seconds in starts if seconds is not None]
    figures = {
        "jobs": len(world.load.job_ids),
        "posts": statuses(requests),
        "post_seconds": spread(sent.took_seconds for sent in requests),
        "first_start_seconds": spread(known),
    }
    on_time = len(known) == len(starts) and max(known, default=0.0) <= START_SECONDS
    passed = _all_taken(requests) and on_time and set(states) == {"succeeded"}
    return Outcome(passed, figures, f"jobs: {dict(states)}")


class RedisKill:
    """Without persistence, so that every message in it is gone."""

    name = "redis-kill"
    fault = "SIGKILL Redis 10 times without persistence under load; it is away for 2 to 6 s each time"
    bar = "every POST is answered with 202, first start <= 10 s after its return, all succeed"

    def run(self, world: World) -> Outcome:
        world.start(settings={"FQ_LOCAL_REDIS_PERSISTS": "0"})
        world.load.start(8)
        injections: list[Injection] = []
        for _ in range(world.size(10, least=1)):
            world.pause(world.rng.uniform(2, 5))
            injection = world.nemesis.kill_tree("redis")
            world.pause(world.rng.uniform(2, 6))
            world.nemesis.start("redis", injection)
            injections += [injection] if injection else []
        world.pause(START_SECONDS)
        world.load.stop()
        world.settle()
        starts = [first_start_after(world.books, injection.until or 0.0) for injection in injections]
        return _outcome(world, starts, world.load.requests)


class RedisFlush:
    """The workers have just begun on a long queue."""

    name = "redis-flush"
    fault = "FLUSHALL with 10,000 pictures queued"
    bar = "work goes on within 10 s, all succeed"

    def run(self, world: World) -> Outcome:
        stack = world.start()
        workers = stack.replicas("worker")
        for part in workers:
            stack.order("stop", part)
        count = world.size(10_000, least=50)
        sent = world.load.burst(count)
        world.say(f"{count} pictures are queued")
        for part in workers:
            stack.order("start", part)
        world.pause(1)
        with redis.Redis.from_url(stack.state.redis_url) as broker:
            broker.flushall()
        injection = world.inject("flush", "redis")
        left = world.books.unfinished()
        world.pause(START_SECONDS)
        silence = longest_silence(world.books, injection.at, injection.at + START_SECONDS) if left > 100 else 0.0
        world.settle(60 + count / 10)
        outcome = _outcome(world, [silence], sent)
        return Outcome(outcome.passed, {**outcome.figures, "queued_at_flush": left}, outcome.note)


class PublishFailing:
    """Redis answers, and refuses every command that would send a message."""

    name = "publish-failing"
    fault = "every publish to Redis fails for 60 s under load"
    bar = "every POST is answered with 202, first start <= 10 s after the end of it, all succeed"

    def run(self, world: World) -> Outcome:
        stack = world.start()
        world.load.start(8)
        world.pause(3)
        with refused_publishing(stack.state.redis_url):
            injection = world.inject("refuse", "every publish")
            world.pause(world.seconds(60, least=5))
        injection.until = world.books.now()
        world.pause(START_SECONDS)
        world.load.stop()
        world.settle()
        return _outcome(world, [first_start_after(world.books, injection.until)], world.load.requests)


class RedisFreeze:
    """The kernel goes on taking connections; nobody answers."""

    name = "redis-freeze"
    fault = "SIGSTOP Redis for 60 s under load"
    bar = "POST p99 <= 2.5 s and all taken, first start <= 10 s after SIGCONT, all succeed"

    def run(self, world: World) -> Outcome:
        world.start()
        world.load.start(8)
        world.pause(3)
        with world.nemesis.frozen("redis") as injection:
            begun = time.time()
            world.pause(world.seconds(60, least=5))
            ended = time.time()
        world.pause(START_SECONDS)
        world.load.stop()
        world.settle()
        during = world.load.between(begun, ended)
        start = first_start_after(world.books, (injection.until if injection else None) or 0.0)
        outcome = _outcome(world, [start], during)
        quick = outcome.figures["post_seconds"].get("p99", 99.0) <= POST_SECONDS
        return Outcome(outcome.passed and quick, outcome.figures, outcome.note)


SCENARIOS = (RedisKill(), RedisFlush(), PublishFailing(), RedisFreeze())
