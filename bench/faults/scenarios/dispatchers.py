"""Dispatchers: one killed, one frozen inside a pass, three at once. Their duties go on, and none is done threefold."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psutil
import redis

from bench.faults.load import Order
from bench.faults.measure import spread
from bench.faults.nemesis import Injection
from bench.faults.scenario import Outcome
from bench.faults.world import World
from deploy.local.child import identify
from workers.doorbell import queue_name

LATE_SECONDS = 10.0
FROZEN_SECONDS = 60.0
BACKLOG = 300
#: what a web lets wait in a queue; a dispatcher lets wait two for each worker process
DOORBELL_CAP = 64
#: tries to catch a dispatcher between two statements of one transaction
TRIES = 400


class Dispatchers:
    """A job that is to run later is started by dispatchers alone: one wakes it, one rings for it."""

    name = "dispatchers"
    fault = "of three dispatchers, one is killed and one is frozen for 60 s inside a pass"
    bar = "jobs that fall due are started <= 10 s late; waiting doorbells <= 64 + ringing processes"

    def run(self, world: World) -> Outcome:
        stack = world.start(dispatchers=3)
        children = sum(len(world.nemesis.children(part)) for part in stack.replicas("worker"))
        allowed = DOORBELL_CAP + children + len([*stack.replicas("web"), *stack.replicas("dispatcher")])
        with _longest_queue(stack.state.redis_url) as longest:
            world.load.burst(world.size(BACKLOG, least=60), Order(params={"frame_seconds": 0.1}))
            world.settle()
        world.say(f"at most {longest[0]} doorbells waited")
        due = self._due_jobs(world, 5)
        world.nemesis.kill_tree("dispatcher")
        due |= self._due_jobs(world, world.seconds(15, least=5))
        injection = self._freeze_in_a_pass(world)
        due |= self._due_jobs(world, world.seconds(FROZEN_SECONDS, least=10))
        world.nemesis.thaw(injection)
        world.settle()
        late = self._lateness(world, due)
        states = world.books.states()
        figures = {
            "due_jobs": len(late),
            "late_seconds": spread(late),
            "most_doorbells_waiting": longest[0],
            "allowed": allowed,
        }
        passed = max(late) <= LATE_SECONDS and longest[0] <= allowed and set(states) == {"succeeded"}
        return Outcome(passed, figures, f"jobs: {dict(states)}")

    def _due_jobs(self, world: World, seconds: float) -> dict[str, float]:
        """One a second, each due two seconds later; return when, by their ids."""
        due_at: dict[str, float] = {}
        with world.stack.client() as client:
            for turn in range(round(seconds)):
                order = Order()
                due = datetime.now(UTC) + timedelta(seconds=2)
                form = {"pipeline": order.pipeline, "params": json.dumps({}), "run_after": due.isoformat()}
                files = {"file": (order.filename, order.media(turn))}
                answer = client.post("/v1/jobs", data=form, files=files).raise_for_status()
                due_at[answer.json()["id"]] = due.timestamp()
                world.pause(1)
        world.pause(3)
        world.promised |= due_at.keys()
        return due_at

    def _lateness(self, world: World, due: Mapping[str, float]) -> Sequence[float]:
        rows = world.books.ask(
            "SELECT job_id::text, extract(epoch FROM min(at))::float FROM job_events"
            " WHERE kind = 'claimed' GROUP BY job_id"
        )
        started = {str(job_id): float(at) for job_id, at in rows}
        return [started[job_id] - at for job_id, at in due.items()]

    def _freeze_in_a_pass(self, world: World) -> Injection:
        """SIGSTOP again and again until the database shows an open transaction of the frozen process."""
        part = "dispatcher-2"
        pid = world.stack.pid(part)
        process = identify(pid)
        assert process is not None, f"{part} does not run"
        for _ in range(TRIES):
            os.kill(pid, signal.SIGSTOP)
            if self._is_in_a_pass(world, pid):
                injection = world.nemesis.freeze_processes(f"{part} in a pass", [process])
                assert injection is not None, f"{part} does not run"
                return injection
            os.kill(pid, signal.SIGCONT)
            time.sleep(world.rng.uniform(0, 0.05))
        raise AssertionError(f"{part} was never caught in a pass, {TRIES} times")

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
