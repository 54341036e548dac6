"""Uploads that tear: the client dies midway, or the web does at each step of a submission."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from bench.embedded import eventually
from bench.faults.clock import FalseClock, NoFalseClock
from bench.faults.scenario import Outcome
from bench.faults.torn import STEPS, Submitter, die_midway
from deploy.local.reach import service_folder

if TYPE_CHECKING:
    from bench.faults.world import World

DEATHS = 40
ROUNDS = 3
#: by so much the database's clock is put forward for the sweep: past the age of litter and the life of an upload
LATER_SECONDS = 49 * 3600
SWEPT_SECONDS = 90.0

NAMED = (
    "SELECT input_key FROM jobs WHERE input_key IS NOT NULL UNION SELECT rows_key FROM segments WHERE rows_key IS NOT"
    " NULL UNION SELECT key FROM uploads WHERE state IN ('open', 'complete', 'taken')"
)


class TornUpload:
    """Half of the clients come back and send again; the others are never seen again."""

    name = "torn-upload"
    fault = (
        f"{DEATHS} clients die in the middle of their upload; a web is killed {ROUNDS} times at each step of a "
        "submission: " + ", ".join(step.when for step in STEPS) + "."
    )
    bar = "No job without its object, every acknowledged job done once, no object kept that no row names."

    def run(self, world: World) -> Outcome:
        """See the protocol."""
        try:
            clock = FalseClock(world.keep(service_folder("clock")))
        except NoFalseClock as error:
            return Outcome(False, note=f"not run: {error}")
        world.start(settings={"FQ_CONCURRENCY": "1"}, parts={"postgres": clock.environment})
        # whoever was killed before its answer has a job that nobody heard of
        world.strangers_welcome = True
        deaths = world.size(DEATHS, least=8)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: die_midway(world, number), range(deaths)))
        submitter = Submitter(world)
        for number in range(world.size(ROUNDS)):
            for step in STEPS:
                submitter.tear(step, number)
        figures = {
            "clients that died": deaths,
            "webs killed": len(STEPS) * world.size(ROUNDS),
            "submissions sent again": submitter.sent_again,
            "jobs": self._ends(world),
            "jobs without their object": _jobs_without_object(world),
            "objects nobody names": len(_litter(world)),
        }
        figures |= self._later(world, clock)
        faults = _faults(figures)
        return Outcome(not faults, figures, "; ".join(faults))

    def _ends(self, world: World) -> Mapping[str, int]:
        world.settle()
        return dict(world.books.states())

    def _later(self, world: World, clock: FalseClock) -> Mapping[str, Any]:
        """Two days on: what is left of it then. The dispatchers start anew, for they walk the store once an hour."""
        clock.set(LATER_SECONDS)
        eventually(
            lambda: world.books.now() - time.time() > LATER_SECONDS - 60, 15.0, "the database's clock did not follow"
        )
        world.say("two days later")
        for part in world.stack.replicas("dispatcher"):
            world.nemesis.restart(part)
        swept = eventually(
            lambda: not _litter(world),
            SWEPT_SECONDS,
            lambda: f"after {SWEPT_SECONDS:g} s there are still {sorted(_litter(world))[:5]}",
            every=0.5,
        )
        return {"swept after (s)": round(swept, 1), "objects missing after the sweep": _jobs_without_object(world)}


def _objects(world: World) -> set[str]:
    """Every file of the store: objects by key, and what is being written."""
    root = world.stack.home.objects
    found = {str(path.relative_to(root / "objects")) for path in (root / "objects").rglob("*") if path.is_file()}
    unfinished = [*(root / "temporary").iterdir(), *(root / "multipart").iterdir()]
    return found | {str(path.relative_to(root)) for path in unfinished}


def _litter(world: World) -> set[str]:
    return _objects(world) - {key for (key,) in world.books.ask(NAMED)}


def _jobs_without_object(world: World) -> int:
    there = _objects(world)
    rows = world.books.ask("SELECT input_key FROM jobs WHERE input_key IS NOT NULL")
    return sum(key not in there for (key,) in rows)


def _faults(told: Mapping[str, Any]) -> list[str]:
    wrong = {
        "a job has lost its object": told["jobs without their object"] > 0,
        "not all jobs succeeded": set(told["jobs"]) != {"succeeded"},
        "nothing was torn: no object without a row": told["objects nobody names"] == 0,
        "the sweep took an object that a job needs": told["objects missing after the sweep"] > 0,
    }
    return [fault for fault, is_so in wrong.items() if is_so]


SCENARIOS = (TornUpload(),)
