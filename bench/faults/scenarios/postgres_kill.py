"""SIGKILL PostgreSQL: the truth itself is away, and nothing that was acknowledged may be gone when it is back."""

from __future__ import annotations

from bench.faults.measure import statuses
from bench.faults.scenario import Outcome
from bench.faults.world import World

KILLS = 5


class PostgresKill:
    """All its processes at once, as a machine that loses power; fsync is on."""

    name = "postgres-kill"
    fault = "SIGKILL PostgreSQL 5 times under load; it is away for 2 to 5 s each time"
    bar = "0 acknowledged jobs lost, all succeed, 503 meanwhile"

    def run(self, world: World) -> Outcome:
        world.start()
        world.load.start(10)
        for _ in range(world.size(KILLS)):
            world.pause(world.rng.uniform(5, 8))
            injection = world.nemesis.kill_tree("postgres")
            world.pause(world.rng.uniform(2, 5))
            world.nemesis.start("postgres", injection)
        world.pause(5)
        world.load.stop()
        world.settle()
        answered = statuses(world.load.requests)
        lost = self._lost(world)
        states = world.books.states()
        figures = {
            "jobs": len(world.load.job_ids),
            "kills": len(world.injected),
            "posts": answered,
            "acknowledged_and_lost": lost,
            "longest_refusal_seconds": round(self._longest_refusal(world), 2),
        }
        # a connection may break in the middle of an answer; anything else than "taken" and "later" is wrong
        honest = set(answered) <= {"202", "503", "none"} and "503" in answered
        return Outcome(honest and lost == 0 and set(states) == {"succeeded"}, figures, f"jobs: {dict(states)}")

    def _lost(self, world: World) -> int:
        known = {str(job_id) for (job_id,) in world.books.patient("SELECT id::text FROM jobs")}
        return len(set(world.load.job_ids) - known)

    def _longest_refusal(self, world: World) -> float:
        """The longest that one submission, sent again and again, was refused."""
        begun: dict[str, float] = {}
        longest = 0.0
        for sent in world.load.requests:
            since = begun.setdefault(sent.key, sent.sent_at)
            if sent.status == 202 and sent.sent_at > since:
                longest = max(longest, sent.answered_at - since)
        return longest


SCENARIOS = (PostgresKill(),)
