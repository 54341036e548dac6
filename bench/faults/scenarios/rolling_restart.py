"""SIGTERM every part in turn, as a deploy does, while work is in hand."""

from __future__ import annotations

import time

from bench.faults.load import Order
from bench.faults.measure import charged, runs_of_segments, spread
from bench.faults.scenario import Outcome
from bench.faults.world import World

RESTARTS = 20
EXIT_SECONDS = 25.0


class RollingRestart:
    """Workers most of all; a web, a dispatcher each fifth time."""

    name = "rolling-restart"
    fault = "SIGTERM and start one part after the other, 20 times, under load"
    bar = "0 attempts charged, each exit <= 25 s, all succeed"

    def run(self, world: World) -> Outcome:
        stack = world.start()
        world.load.start(6, Order(params={"frame_seconds": 0.3}))
        turns = ("worker", "worker-2", "web", "worker", "dispatcher", "worker-2", "web-2", "worker", "dispatcher-2")
        exits: list[float] = []
        for turn in range(world.size(RESTARTS, least=3)):
            part = turns[turn % len(turns)]
            world.pause(world.rng.uniform(1, 3))
            begun = time.monotonic()
            injection = world.nemesis.stop(part)
            exits.append(time.monotonic() - begun)
            world.nemesis.start(part, injection)
        world.load.stop()
        world.settle()
        states = world.books.states()
        killed = stack.log("up").count("and was killed")
        segments, claims = runs_of_segments(world.books)
        figures = {
            "jobs": len(world.load.job_ids),
            "restarts": len(exits),
            "exit_seconds": spread(exits),
            "had_to_be_killed": killed,
            "attempts_charged": charged(world.books),
            "claims_per_segment": round(claims / max(1, segments), 3),
        }
        in_time = max(exits) <= EXIT_SECONDS and killed == 0
        passed = in_time and figures["attempts_charged"] == 0 and set(states) == {"succeeded"}
        return Outcome(passed, figures, f"jobs: {dict(states)}")


SCENARIOS = (RollingRestart(),)
