"""Everything at once, for half an hour: any fault at any time, and all promises kept at the end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from itertools import count

import redis

from bench.faults.load import Order, clip_order
from bench.faults.measure import statuses
from bench.faults.memory import WARM_SECONDS, Memory
from bench.faults.scenario import Outcome
from bench.faults.world import World

SECONDS = 1800.0
GROWTH_MIB = 32.0
PER_SECOND = 6.0
#: peace between two faults
REST_SECONDS = (2.0, 12.0)

Fault = Callable[[World], None]


def kill_child(world: World) -> None:
    part = world.rng.choice(world.stack.replicas("worker"))
    children = world.nemesis.children(part)
    if children:
        world.nemesis.kill_child(part, world.rng.choice(children))


def kill_second(kind: str) -> Fault:
    """The first of each kind lives on, so that its memory can be watched for long."""

    def kill(world: World) -> None:
        injection = world.nemesis.kill_tree(f"{kind}-2")
        world.pause(world.rng.uniform(0, 5))
        world.nemesis.start(f"{kind}-2", injection)

    return kill


def kill_engine(name: str) -> Fault:
    def kill(world: World) -> None:
        injection = world.nemesis.kill_tree(name)
        world.pause(world.rng.uniform(0.5, 4))
        world.nemesis.start(name, injection)

    return kill


def freeze(part: str, longest_seconds: float) -> Fault:
    def frozen(world: World) -> None:
        with world.nemesis.frozen(part):
            world.pause(world.rng.uniform(1, longest_seconds))

    return frozen


def restart(world: World) -> None:
    world.nemesis.restart(world.rng.choice(["web-2", "worker-2", "dispatcher-2"]))


def flush(world: World) -> None:
    world.inject("flush", "redis")
    with redis.Redis.from_url(world.stack.state.redis_url) as broker:
        broker.flushall()


#: what happens, and how often compared with the others
FAULTS: Mapping[str, tuple[Fault, int]] = {
    "kill a child": (kill_child, 6),
    "kill worker-2": (kill_second("worker"), 2),
    "kill web-2": (kill_second("web"), 2),
    "kill dispatcher-2": (kill_second("dispatcher"), 1),
    "kill redis": (kill_engine("redis"), 1),
    "kill postgres": (kill_engine("postgres"), 1),
    "freeze worker": (freeze("worker", 35), 1),
    "freeze worker-2": (freeze("worker-2", 35), 1),
    "freeze dispatcher": (freeze("dispatcher", 20), 1),
    "freeze redis": (freeze("redis", 10), 1),
    "restart": (restart, 3),
    "flush": (flush, 1),
}


class Soak:
    """Pictures and clips of several segments; the order of faults comes from the seed."""

    def __init__(
        self, faults: Mapping[str, tuple[Fault, int]] = FAULTS, rest_seconds: tuple[float, float] = REST_SECONDS
    ) -> None:
        self._faults = faults
        self._rest = rest_seconds

    name = "soak"
    fault = "30 min of every fault on processes, by chance, under load of pictures and clips"
    bar = "every promise kept, all succeed, memory of every process grows < 32 MiB after its minute 5"

    def run(self, world: World) -> Outcome:
        stack = world.start(settings={"FQ_SEGMENT_SECONDS": "1"})
        seconds = world.seconds(SECONDS, least=20)
        slow = Order(params={"frame_seconds": 0.05})
        world.load.start(PER_SECOND, Order(), slow, Order(), slow, Order(), clip_order(8, frame_seconds=0.03))
        with Memory(stack).watched() as memory:
            self._hurt(world, seconds)
            world.load.stop(patience_seconds=120)
            world.settle(180)
        growth = memory.growth_mib(min(WARM_SECONDS, seconds / 3))
        states = world.books.states()
        most = max(growth.values(), default=0.0 if seconds < WARM_SECONDS else math.inf)
        figures = {
            "jobs": len(world.load.job_ids),
            "faults": len(world.injected),
            "posts": statuses(world.load.requests),
            "recovery_seconds": world.recovery(),
            "growth_mib": {name: round(grown, 1) for name, grown in growth.items()},
        }
        return Outcome(set(states) == {"succeeded"} and most < GROWTH_MIB, figures, f"jobs: {dict(states)}")

    def _hurt(self, world: World, seconds: float) -> None:
        """One round after the other, each in an order by chance; the first is finished however short the time is."""
        every = [fault for fault, times in self._faults.values() for _ in range(times)]
        until = time.monotonic() + seconds
        for turn in count():
            if turn >= len(every) and time.monotonic() > until:
                return
            if turn % len(every) == 0:
                world.rng.shuffle(every)
            world.pause(world.rng.uniform(*self._rest))
            every[turn % len(every)](world)


SCENARIOS = (Soak(),)
