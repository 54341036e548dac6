"""Dispatchers: one killed, one frozen inside a pass, three at once. Their duties go on, and none is done threefold."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psutil
import redis

from bench.faults.load import Order
from bench.faults.measure import spread
from bench.faults.nemesis import Injection
from bench.faults.scenario import Outcome
from bench.faults.world import World
from deploy.local.child import Identity, identify
from workers.doorbell import queue_name

LATE_SECONDS = 10.0
FROZEN_SECONDS = 60.0
BACKLOG = 300
#: tries to catch a dispatcher between two statements of one transaction
TRIES = 400


class Dispatchers:
    """A job that is to run later is started by dispatchers alone: one wakes it, one rings for it."""

    name = "dispatchers"
    fault = "of three dispatchers, one is killed and one is frozen for 60 s inside a pass"
    bar = "jobs that fall due are started <= 10 s late; waiting doorbells <= 2 x workers + ringing processes"

    def run(self, world: World) -> Outcome:
        stack = world.start(dispatchers=3)
        cap = 2 * sum(len(world.nemesis.children(part)) for part in stack.replicas("worker"))
        ringing = len([name for name in stack.state.parts if name.partition("-")[0] in ("web", "worker", "dispatcher")])
        ringing += cap // 2
        with _longest_queue(stack.state.redis_url) as longest:
            world.load.burst(world.size(BACKLOG, least=60), Order(params={"frame_seconds": 0.1}))
            world.settle()
        world.say(f"at most {longest[0]} doorbells waited")
        self._due_jobs(world, 5)
        world.nemesis.kill_tree("dispatcher")
        self._due_jobs(world, world.seconds(15, least=5))
        injection = self._freeze_in_a_pass(world)
        self._due_jobs(world, world.seconds(FROZEN_SECONDS, least=10))
        world.nemesis.thaw(injection)
        world.settle()
        late = self._lateness(world)
        states = world.books.states()
        figures = {
            "due_jobs": len(late),
            "late_seconds": spread(late),
            "most_doorbells_waiting": longest[0],
            "allowed": cap + ringing,
            "frozen_inside_a_pass": injection.victim.endswith("in a pass"),
        }
        passed = max(late) <= LATE_SECONDS and longest[0] <= cap + ringing and set(states) == {"succeeded"}
        return Outcome(passed and figures["frozen_inside_a_pass"], figures, f"jobs: {dict(states)}")

    def _due_jobs(self, world: World, seconds: float) -> None:
        """One a second, each due two seconds later."""
        with world.stack.client() as client:
            for turn in range(round(seconds)):
                order = Order()
                due = datetime.now(UTC) + timedelta(seconds=2)
                form = {"pipeline": order.pipeline, "params": json.dumps({}), "run_after": due.isoformat()}
                files = {"file": (order.filename, order.media(turn))}
                answer = client.post("/v1/jobs", data=form, files=files).raise_for_status()
                world.promised.add(answer.json()["id"])
                world.pause(1)
        world.pause(3)

    def _lateness(self, world: World) -> Sequence[float]:
        rows = world.books.ask(
            "SELECT extract(epoch FROM min(e.at) - min(j.run_after))::float"
            " FROM jobs j JOIN job_events e ON e.job_id = j.id"
            " WHERE j.run_after IS NOT NULL AND e.kind = 'claimed' GROUP BY j.id"
        )
        return [float(seconds) for (seconds,) in rows]

    def _freeze_in_a_pass(self, world: World) -> Injection:
        """SIGSTOP again and again until the database shows an open transaction of the frozen process."""
        part = "dispatcher-2"
        pid = world.stack.pid(part)
        process = identify(pid)
        assert process is not None, f"{part} does not run"
        for _ in range(TRIES):
            injection = self._freeze(world, f"{part} in a pass", process)
            if self._is_in_a_pass(world, pid):
                return injection
            world.nemesis.thaw(injection)
            world.injected.remove(injection)
        return self._freeze(world, f"{part} between passes", process)

    def _freeze(self, world: World, victim: str, process: Identity) -> Injection:
        injection = world.nemesis.freeze_processes(victim, [process])
        assert injection is not None, f"{victim}: it does not run"
        return injection

    def _is_in_a_pass(self, world: World, pid: int) -> bool:
        ports = [link.laddr.port for link in psutil.Process(pid).net_connections("tcp") if link.laddr]
        rows = world.books.ask(
            "SELECT 1 FROM pg_stat_activity WHERE client_port = ANY(%s) AND state = 'idle in transaction'", ports
        )
        return bool(rows)


@contextmanager
def _longest_queue(redis_url: str) -> Iterator[list[int]]:
    """Look fifty times a second; the list holds the most messages that waited in one queue."""
    over, longest = threading.Event(), [0]

    def look() -> None:
        with redis.Redis.from_url(redis_url) as broker:
            while not over.wait(0.02):
                longest[0] = max(longest[0], int(broker.llen(queue_name("cpu", "short"))))

    thread = threading.Thread(target=look, name="longest-queue", daemon=True)
    thread.start()
    try:
        yield longest
    finally:
        over.set()
        thread.join(5)


SCENARIOS = (Dispatchers(),)
