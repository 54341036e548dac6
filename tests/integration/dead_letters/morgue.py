"""A queue whose jobs die, and who looks after them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from storage.audit import Actor, Audit
from storage.database import Database
from storage.dead.filter import DeadFilter
from storage.dead.letters import DeadLetters
from storage.dead.replay_orders import ReplayOrder, ReplayOrders
from storage.dead.replay_steps import ReplaySteps
from storage.job import Bury, Claim, Fault, JobState
from tests.fakes.quiet_bell import QuietBell
from tests.fakes.sql_queue import SqlQueue
from workers.dispatcher.replays import Replays

WANTED: dict[str, Any] = {"lanes": ["cpu"], "size_classes": ["short", "long"], "serves": [("motion", 1), ("other", 1)]}
OPERATOR = Actor("key-1", "ops")
BROKEN = Fault("model.failed", "out of tune at 17", stage="infer", worker="anna", stack='File "m.py", line 3, in run')


class Morgue:
    """A queue whose jobs die, and who looks after them."""

    def __init__(self, database: Database) -> None:
        self.queue = SqlQueue(database)
        self.queue.register("worker")
        self.dead = DeadLetters(database)
        self.orders = ReplayOrders(database)
        self.audit = Audit(database)
        self.steps = ReplaySteps(database)
        self.bell = QuietBell()
        self.told: list[str] = []
        self.duty = Replays(self.steps, self.bell, tell=self.told.append)

    def bury_next(self, fault: Fault = BROKEN) -> str:
        """Let the next job die; return its id."""
        claim = self.take()
        self.queue.finish(claim, [Bury(claim.segments[0].id, fault)])
        return claim.segments[0].job_id

    def take(self) -> Claim:
        claim = self.queue.claim("worker", limit=1, **WANTED)
        assert claim is not None
        return claim

    def buried(self, fault: Fault = BROKEN, **fields: Any) -> str:
        """A job that has died."""
        job_id = self.queue.add_job(**fields)
        assert self.bury_next(fault) == job_id
        return job_id

    def order(self, where: DeadFilter | None = None, **fields: Any) -> ReplayOrder:
        given: dict[str, Any] = {"params": None, "force": False, "per_second": 1000.0, "by": OPERATOR}
        return self.orders.create(where or DeadFilter(), **(given | fields))

    def run(self, order: ReplayOrder) -> ReplayOrder:
        """Carry an order out until it is over, however slow it is meant to be."""
        for _ in range(100):
            self.later(order, 10)
            self.duty.run_pass()
            found = self.orders.get(order.id, None)
            if found.state != "running":
                return found
        raise AssertionError(f"still running: {found}")

    def later(self, order: ReplayOrder, seconds: float) -> None:
        """Let time pass for an order's pace."""
        statement = "UPDATE replay_orders SET paced_at = paced_at - :by WHERE id = CAST(:id AS uuid)"
        self.queue.execute(statement, id=order.id, by=timedelta(seconds=seconds))

    def states(self, job_ids: Sequence[str]) -> list[JobState]:
        return [self.queue.job(job_id).state for job_id in job_ids]

    def actions(self) -> list[str]:
        return [entry.action for entry in self.audit.page(cursor=None, limit=100).entries]
