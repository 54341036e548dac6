"""A worker that stands still for two leases and then goes on as if nothing had been: SIGSTOP, SIGCONT."""

from __future__ import annotations

from bench.faults.load import Order
from bench.faults.nemesis import Injection
from bench.faults.scenario import Outcome
from bench.faults.world import World
from storage.fleet import LEASE_SECONDS

TIMES = 3
#: long enough to be frozen within, short enough to be over when the worker is let go
WORK_SECONDS = 6.0
FREEZE_SECONDS = 2 * LEASE_SECONDS + 2


class WorkerFreeze:
    """Twice the same, with and without another worker that takes the work over meanwhile."""

    name = "worker-freeze"
    fault = "SIGSTOP a worker with work in hand for two leases (32 s), then SIGCONT"
    bar = "its finish is refused where another worker took over, and accepted where none did; 0 done twice"

    def run(self, world: World) -> Outcome:
        stack = world.start(settings={"FQ_CONCURRENCY": "1"})
        counted = {"taken_over": 0, "accepted_late": 0, "wrong": 0}
        for _ in range(world.size(TIMES)):
            stack.order("stop", "worker-2")
            injection, job_id = self._freeze_at_work(world)
            stack.order("start", "worker-2")
            world.settle(FREEZE_SECONDS + 60)
            self._let_go(world, injection)
            counted["taken_over" if self._was_taken_over(world, injection, job_id) else "wrong"] += 1
        stack.order("stop", "worker-2")
        for _ in range(world.size(TIMES)):
            injection, job_id = self._freeze_at_work(world)
            world.pause(FREEZE_SECONDS)
            self._let_go(world, injection)
            world.settle(60)
            counted["accepted_late" if self._was_accepted_late(world, injection, job_id) else "wrong"] += 1
        refused = world.books.ask("SELECT count(*) FROM job_events WHERE kind = 'refused'")[0][0]
        figures = {**counted, "refusals_recorded": int(refused)}
        return Outcome(counted["wrong"] == 0 and set(world.books.states()) == {"succeeded"}, figures)

    def _freeze_at_work(self, world: World) -> tuple[Injection, str]:
        job_id = world.load.burst(1, Order(params={"frame_seconds": WORK_SECONDS}))[0].job_id
        assert job_id is not None, "the submission was not taken"

        def is_at_work() -> bool:
            rows = world.books.ask("SELECT 1 FROM segments WHERE job_id = %s::uuid AND state = 'claimed'", job_id)
            return bool(rows)

        world.wait_for(is_at_work, 60, "nobody has begun")
        injection = world.nemesis.freeze("worker")
        assert injection is not None, "the worker does not run"
        assert injection.segment_ids, "the worker was frozen with nothing in hand"
        return injection, job_id

    def _let_go(self, world: World, injection: Injection) -> None:
        left = FREEZE_SECONDS - (world.books.now() - injection.at)
        world.pause(max(0.0, left))
        world.nemesis.thaw(injection)
        # back in the fleet: only then has it tried to finish what it held
        world.wait_for(lambda: bool(world.nemesis.children("worker")), 60, "the worker is not back in the fleet")
        world.pause(3)

    def _was_taken_over(self, world: World, injection: Injection, job_id: str) -> bool:
        """Another claim was accepted, before the worker was let go, and no result of the frozen one ever."""
        done = self._accepted(world, job_id)
        assert injection.until is not None
        stale = [claim for claim, _ in done if claim in injection.claim_ids]
        return not stale and bool(done) and max(at for _, at in done) < injection.until

    def _was_accepted_late(self, world: World, injection: Injection, job_id: str) -> bool:
        """The claim of the frozen worker was lost, and its result accepted after it was let go."""
        lost = world.books.ask("SELECT 1 FROM job_events WHERE job_id = %s::uuid AND kind = 'lost'", job_id)
        assert injection.until is not None
        done = [at for claim, at in self._accepted(world, job_id) if claim in injection.claim_ids]
        return bool(lost) and len(done) == 1 and done[0] >= injection.until

    def _accepted(self, world: World, job_id: str) -> list[tuple[str, float]]:
        rows = world.books.ask(
            "SELECT claim_id::text, extract(epoch FROM at)::float FROM job_events"
            " WHERE job_id = %s::uuid AND kind = 'done' ORDER BY id",
            job_id,
        )
        return [(str(claim), float(at)) for claim, at in rows]


SCENARIOS = (WorkerFreeze(),)
