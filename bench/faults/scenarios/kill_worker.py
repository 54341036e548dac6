"""SIGKILL a whole worker, its main process and all children at once."""

from __future__ import annotations

from bench.faults.load import Order
from bench.faults.measure import within
from bench.faults.scenario import Outcome
from bench.faults.world import World

KILLS = 20
RECOVERY_SECONDS = 25.0


class KillWorker:
    """The workers in turn; each is started again after some seconds, as a machine that comes back."""

    name = "kill-worker"
    fault = "SIGKILL a whole worker (main process and children) 20 times under load"
    bar = "all succeed, 0 done twice, recovery <= 25 s"

    def run(self, world: World) -> Outcome:
        stack = world.start()
        world.load.start(6, Order(params={"frame_seconds": 0.2}))
        workers = stack.replicas("worker")
        for turn in range(world.size(KILLS, least=2)):
            part = workers[turn % len(workers)]
            world.wait_for(lambda part=part: self._busy(world, part), 60, f"{part} holds nothing")
            injection = world.nemesis.kill_tree(part)
            world.pause(world.rng.uniform(1, 5))
            world.nemesis.start(part, injection)
        world.load.stop()
        world.settle()
        states = world.books.states()
        recovery = world.recovery()
        held = sum(len(injection.segment_ids) for injection in world.injected)
        figures = {
            "jobs": len(world.load.job_ids), "kills": len(world.injected), "held": held, "recovery_seconds": recovery,
        }  # fmt: skip
        passed = set(states) == {"succeeded"} and within(recovery, "max", RECOVERY_SECONDS)
        return Outcome(passed, figures, f"jobs: {dict(states)}")

    def _busy(self, world: World, part: str) -> bool:
        return any(holder.segment_ids for holder in world.books.holders(world.nemesis.children(part)))


SCENARIOS = (KillWorker(),)
