"""SIGKILL worker processes while pictures stream in."""

from __future__ import annotations

import time

from bench.faults.load import Order
from bench.faults.scenario import Outcome
from bench.faults.world import World

JOBS = 5000
SECONDS = 300.0
EVERY_SECONDS = 2.0


class KillChild:
    name = "kill-child"
    fault = "SIGKILL a worker process every 2 s for 5 min while 5,000 pictures come in"
    bar = "all succeed, 0 done twice, recovery p99 <= 20 s"

    def run(self, world: World) -> Outcome:
        world.start()
        seconds = world.seconds(SECONDS, least=6)
        world.load.start(world.size(JOBS, least=20) / seconds, Order())
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            part = world.rng.choice(world.stack.replicas("worker"))
            children = world.nemesis.children(part)
            if children:
                world.nemesis.kill_child(part, world.rng.choice(children))
            time.sleep(EVERY_SECONDS)
        world.load.stop()
        settled = world.settle(120)
        states = world.books.states()
        figures = {"jobs": len(world.load.job_ids), "kills": len(world.injected), "settled_seconds": round(settled, 1)}
        return Outcome(set(states) == {"succeeded"}, figures, f"jobs: {dict(states)}")


SCENARIOS = (KillChild(),)
