"""Clocks that are wrong and clocks that jump: an hour's difference is no hour of silence."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bench.embedded import eventually
from bench.faults.clock import FalseClock, NoFalseClock
from bench.faults.load import Order
from bench.faults.scenario import Outcome
from deploy.local.reach import service_folder

if TYPE_CHECKING:
    from bench.faults.nemesis import Injection
    from bench.faults.world import World

HOUR = 3600
PER_SECOND = 2.0
#: a claim of eight pictures is in hand for eight seconds
FRAME_SECONDS = 1.0
#: after each jump; a lease and then some
HOLD_SECONDS = 60.0
JUMPS = (HOUR, 0, -HOUR, 0)
#: before this one a worker is killed, whose last heartbeat then lies an hour ahead
KILL_BEFORE = 2
#: a lease in which no silence is believed, the lease itself, and the dispatcher's rounds
TAKEN_BACK_SECONDS = 45.0
NOTICED_SECONDS = 15.0


class Clocks:
    """One worker an hour ahead, one an hour behind, and a database whose clock jumps there and back."""

    name = "clocks"
    fault = (
        "One worker's clock is an hour ahead, another's an hour behind; the database's jumps an hour ahead, back, an "
        "hour behind and back, and a worker dies just before it is put back (libfaketime on those processes alone)."
    )
    bar = (
        "Nothing is taken from a worker that lives, 0 done twice, all succeed; what the dead one held is taken back "
        f"within {TAKEN_BACK_SECONDS:g} s although its last heartbeat lies ahead."
    )

    def run(self, world: World) -> Outcome:
        """See the protocol."""
        folder = world.keep(service_folder("clocks"))
        try:
            ahead, behind = FalseClock(folder / "ahead", HOUR), FalseClock(folder / "behind", -HOUR)
            database = FalseClock(folder / "database")
        except NoFalseClock as error:
            return Outcome(False, note=f"not run: {error}")
        world.start(
            workers=3,
            settings={"FQ_CONCURRENCY": "1"},
            parts={
                "worker": ahead.environment,
                "worker-2": behind.environment,
                "postgres": database.environment,
            },
        )
        if (wrong := _clocks_that_are_right(world)) is not None:
            return Outcome(False, note=f"not run: {wrong}")
        world.load.start(PER_SECOND, Order(params={"frame_seconds": FRAME_SECONDS}))
        time.sleep(world.seconds(HOLD_SECONDS, least=10.0) / 2)
        kill, taken_back = _jump_to_and_fro(world, database)
        world.load.stop()
        world.settle()
        figures = {
            "jobs": dict(world.books.states()),
            "jumps": len(JUMPS),
            "taken from the living": _taken_from_the_living(world, kill),
            "done twice": _done_twice(world),
            "held by the dead": len(kill.segment_ids) if kill else 0,
            "taken back after (s)": round(taken_back, 1),
        }
        faults = _faults(figures)
        return Outcome(not faults, figures, "; ".join(faults))


def _jump_to_and_fro(world: World, database: FalseClock) -> tuple[Injection | None, float]:
    """Make every jump; return the kill before one of them, and how long it took until its work was taken back."""
    kill, taken_back = None, 0.0
    for turn, offset in enumerate(JUMPS):
        if turn == KILL_BEFORE:
            kill = _kill_a_busy_worker(world)
        _jump(world, database, offset)
        if turn == KILL_BEFORE and kill is not None:
            kill.at += offset  # in the time by which its consequences are told
            taken_back = _wait_until_taken_back(world, kill)
        time.sleep(world.seconds(HOLD_SECONDS, least=20.0))
    return kill, taken_back


def _clocks_that_are_right(world: World) -> str | None:
    """Name a worker on which the false clock has no effect; its log tells what time it takes it to be."""
    for part, offset in (("worker", HOUR), ("worker-2", -HOUR)):
        line = next(line for line in world.stack.log(part).splitlines() if '"timestamp"' in line)
        told = datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()
        if abs(told - time.time() - offset) > HOUR / 2:
            return f"the clock of {part} is not moved by libfaketime"
    return None


def _jump(world: World, clock: FalseClock, offset: int) -> None:
    """Return when the database tells the new time."""
    clock.set(offset)
    eventually(
        lambda: abs(world.books.now() - time.time() - offset) < 5.0,
        NOTICED_SECONDS,
        f"the database's clock did not follow to {offset:+d} s",
    )
    world.inject(f"clock {offset:+d} s", "postgres")


def _kill_a_busy_worker(world: World) -> Injection:
    """Kill the worker whose clock is right, at a moment when it holds something."""

    def busy() -> bool:
        pids = world.nemesis.children("worker-3")
        return any(holder.segment_ids for holder in world.books.holders(pids))

    eventually(busy, 30.0, "worker-3 has nothing to do")
    killed = world.nemesis.kill_tree("worker-3")
    assert killed is not None, "worker-3 does not run"
    return killed


def _wait_until_taken_back(world: World, kill: Injection) -> float:
    sql = (
        "SELECT count(*) FROM segments WHERE id = ANY(%s::uuid[]) AND state = 'claimed' AND claim_id = ANY(%s::uuid[])"
    )
    return eventually(
        lambda: world.books.patient(sql, list(kill.segment_ids), list(kill.claim_ids))[0][0] == 0,
        2 * TAKEN_BACK_SECONDS,
        f"the segments of the dead worker were not taken back within {2 * TAKEN_BACK_SECONDS:g} s",
        every=0.2,
    )


def _taken_from_the_living(world: World, kill: Injection | None) -> int:
    sql = "SELECT count(*) FROM job_events WHERE kind = 'lost' AND NOT claim_id = ANY(%s::uuid[])"
    return int(world.books.ask(sql, list(kill.claim_ids) if kill else [])[0][0])


def _done_twice(world: World) -> int:
    sql = (
        "SELECT count(*) FROM (SELECT FROM job_events WHERE kind = 'done' GROUP BY segment_id, run"
        " HAVING count(*) > 1) AS twice"
    )
    return int(world.books.ask(sql)[0][0])


def _faults(told: Mapping[str, Any]) -> Sequence[str]:
    wrong = {
        "not all jobs succeeded": set(told["jobs"]) != {"succeeded"},
        "work was taken from a worker that lives": told["taken from the living"] > 0,
        "a segment was done twice": told["done twice"] > 0,
        "the dead worker held nothing": told["held by the dead"] == 0,
        "the dead worker's work was taken back late": told["taken back after (s)"] > TAKEN_BACK_SECONDS,
    }
    return [fault for fault, is_so in wrong.items() if is_so]


SCENARIOS = (Clocks(),)
