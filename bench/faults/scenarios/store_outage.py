"""The object store is away, then says nothing, while clients go on at their pace."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.embedded import eventually
from bench.faults.load import Order, Sent
from bench.faults.paced import Paced, answers, slowest
from bench.faults.proxy import Door, Mode
from bench.faults.s3 import S3Server
from bench.faults.scenario import Outcome
from deploy.local.reach import service_folder

if TYPE_CHECKING:
    from bench.faults.world import World

PER_SECOND = 50
OUTAGE_SECONDS = 120.0
#: jobs in the queue when the store goes, each of so many seconds of work
BACKLOG = 400
FRAME_SECONDS = 0.1
WORKERS = ("worker", "worker-2")
REFUSED_WITHIN_SECONDS = 3.0
CALLS_PER_SECOND = 2.0
DRAINED_SECONDS = 60.0
REFUSAL = "503 storage.unavailable"


class StoreOutage:
    """Both kinds of outage, on one stack."""

    name = "store-down-and-frozen"
    fault = (
        f"The object store is down for {OUTAGE_SECONDS / 60:g} min (half of it nobody listens, half every connection "
        f"is cut), then takes connections and says nothing for as long, at {PER_SECOND} submissions a second."
    )
    bar = (
        f"Every POST with a file is answered 503 within {REFUSED_WITHIN_SECONDS:g} s; jobs queued before succeed, none "
        f"is dead, all within {DRAINED_SECONDS:g} s after the return; meanwhile at most {CALLS_PER_SECOND:g} calls a "
        "second per worker."
    )

    def run(self, world: World) -> Outcome:
        """See the protocol."""
        server = world.keep(S3Server(world.keep(service_folder("s3")) / "s3.log"))
        own = {name: server.environment(name) for name in ("web", "web-2", *WORKERS, "dispatcher", "dispatcher-2")}
        world.start(
            settings={"FQ_CONCURRENCY": "1"},
            # the pattern is for those without a door of their own: migration, Flower
            parts={"*": server.environment("others"), **own},
        )
        world.store = server.store
        doors = [server.proxy.door(name) for name in WORKERS]
        seconds = world.seconds(OUTAGE_SECONDS, least=10.0)
        half = seconds / 2
        down = _outage(world, server, doors, [(Mode.REFUSE, half), (Mode.CUT, half)])
        frozen = _outage(world, server, doors, [(Mode.FREEZE, seconds)])
        faults = [f"{kind}: {fault}" for kind, told in (("down", down), ("frozen", frozen)) for fault in _faults(told)]
        return Outcome(not faults, {"down": down, "frozen": frozen}, "; ".join(faults))


def _outage(
    world: World, server: S3Server, doors: Sequence[Door], modes: Sequence[tuple[Mode, float]]
) -> dict[str, Any]:
    """Fill the queue, take the store away, count, give it back, and wait for what was queued."""
    _wait_until_ready(world)
    order = Order(params={"frame_seconds": FRAME_SECONDS})
    queued = [sent.job_id for sent in world.load.burst(world.size(BACKLOG, least=50), order, threads=16)]
    assert None not in queued, "a submission was refused before the store went away"
    begun = time.monotonic()
    asked = 0.0
    refused: list[Sent] = []
    for mode, seconds in modes:
        server.proxy.turn(mode)
        world.inject(mode.value, "object store")
        since = time.monotonic()
        with Paced(world, world.size(PER_SECOND, least=5)) as clients:
            time.sleep(seconds)
        refused += clients.sent
        if mode is not Mode.REFUSE:  # where nobody listens, nobody counts
            asked = max(asked, _calls_per_second(doors, since))
    left = _unfinished(world, queued)
    server.proxy.turn(Mode.PASS)
    world.say(f"the object store is back; {left} of {len(queued)} jobs are left")
    drained = eventually(
        lambda: _unfinished(world, queued) == 0,
        4 * DRAINED_SECONDS,
        lambda: f"{_unfinished(world, queued)} jobs are not done {4 * DRAINED_SECONDS:g} s after the return",
        every=0.2,
    )
    told = {
        "lasted (s)": round(time.monotonic() - begun - drained, 1),
        "answers": answers(refused),
        "slowest answer (s)": slowest(refused),
        "calls a second per worker": round(asked, 2),
        "queued before": len(queued),
        "left at the return": left,
        "drained (s)": round(drained, 1),
        "ends": _ends(world, queued),
    }
    world.say(str(told))
    return told


def _wait_until_ready(world: World) -> None:
    for web in range(len(world.stack.state.api_urls)):
        with world.stack.client(web) as client:
            eventually(lambda client=client: client.get("/ready").is_success, 30.0, f"web {web} is not ready")


def _calls_per_second(doors: Sequence[Door], since: float) -> float:
    """The busiest worker's, over the whole stretch."""
    until = time.monotonic()
    return max(door.asked(since, until) for door in doors) / (until - since)


def _unfinished(world: World, ids: Sequence[str | None]) -> int:
    sql = "SELECT count(*) FROM jobs WHERE id = ANY(%s::uuid[]) AND finished_at IS NULL"
    return int(world.books.ask(sql, list(ids))[0][0])


def _ends(world: World, ids: Sequence[str | None]) -> dict[str, int]:
    sql = "SELECT state, count(*) FROM jobs WHERE id = ANY(%s::uuid[]) GROUP BY 1"
    return {str(state): int(number) for state, number in world.books.ask(sql, list(ids))}


def _faults(told: dict[str, Any]) -> list[str]:
    wrong = {
        f"answers other than {REFUSAL}": set(told["answers"]) != {REFUSAL},
        "an answer took too long": told["slowest answer (s)"] > REFUSED_WITHIN_SECONDS,
        "too many calls": told["calls a second per worker"] > CALLS_PER_SECOND,
        "not all succeeded": told["ends"] != {"succeeded": told["queued before"]},
        "nothing was left to do at the return": told["left at the return"] == 0,
        "the queue was not drained in time": told["drained (s)"] > DRAINED_SECONDS,
    }
    return [fault for fault, is_so in wrong.items() if is_so]


SCENARIOS = (StoreOutage(),)
