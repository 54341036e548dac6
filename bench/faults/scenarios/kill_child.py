"""SIGKILL worker processes while pictures stream in."""

from __future__ import annotations

import time

from bench.faults.measure import within
from bench.faults.scenario import Outcome
from bench.faults.world import World

JOBS = 5000
SECONDS = 300.0
EVERY_SECONDS = 2.0
RECOVERY_P99_SECONDS = 20.0


class KillChild:
    """Half of the kills aim at a process that holds work, the others at any."""

    name = "kill-child"
    fault = "SIGKILL a worker process every 2 s for 5 min while 5,000 pictures come in"
    bar = "all succeed, 0 done twice, recovery p99 <= 20 s"

    def run(self, world: World) -> Outcome:
        world.start()
        seconds = world.seconds(SECONDS, least=6)
        # a little over, since what is sent in the last second counts too
        world.load.start(1.02 * world.size(JOBS, least=40) / seconds)
        begun = time.monotonic()
        for turn in range(int(seconds / EVERY_SECONDS)):
            world.pause(begun + turn * EVERY_SECONDS - time.monotonic())
            self._kill_one(world)
        world.load.stop()
        world.settle()
        states = world.books.states()
        recovery = world.recovery()
        figures = {"jobs": len(world.load.job_ids), "kills": len(world.injected), "recovery_seconds": recovery}
        passed = set(states) == {"succeeded"} and within(recovery, "p99", RECOVERY_P99_SECONDS)
        return Outcome(passed, figures, f"jobs: {dict(states)}")

    def _kill_one(self, world: World) -> None:
        part = world.rng.choice(world.stack.replicas("worker"))
        children = world.nemesis.children(part)
        busy = [holder.pid for holder in world.books.holders(children) if holder.segment_ids]
        aimed = busy if busy and world.rng.random() < 0.5 else children
        if aimed:
            world.nemesis.kill_child(part, world.rng.choice(aimed))


SCENARIOS = (KillChild(),)
