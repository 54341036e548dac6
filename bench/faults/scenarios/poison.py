"""One poisoned input among 32 that are claimed together: it alone pays for it, after at most three runs of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.embedded import eventually
from bench.faults.load import Order
from bench.faults.poison import DIARY, notes
from bench.faults.poison_media import endless_jpeg, picture, vast_png
from bench.faults.scenario import Outcome
from deploy.local.reach import service_folder

if TYPE_CHECKING:
    from bench.faults.world import World

TOGETHER = 32
CULPRIT = 17
#: longest silence of running work, and of the decoder
STALL_SECONDS = 10
ANSWER_SECONDS = 8
#: on top of the allowance
GRACE_SECONDS = 5.0
SOLO_RUNS = 3
PATIENCE_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Poison:
    """One way of being poisonous."""

    kind: str
    pipeline: str
    make: Callable[[], bytes]
    allowance_seconds: float
    #: states the culprit may end in
    ends: tuple[str, ...]


def _white() -> bytes:
    return picture(0, white=True)


KINDS = (
    Poison("a crash of the process", "kills-itself", _white, 0, ("dead",)),
    Poison("a hang that holds the GIL", "holds-the-gil", _white, STALL_SECONDS, ("dead",)),
    Poison("a deadlock beside a living heartbeat", "wedged", _white, STALL_SECONDS, ("dead",)),
    Poison("a decoder that never ends", "motion", endless_jpeg, ANSWER_SECONDS, ("failed", "dead")),
    Poison("a decoder that needs too much memory", "motion", vast_png, ANSWER_SECONDS, ("failed", "dead")),
)


class PoisonScenario:
    """All kinds, one after another, on one stack."""

    name = "poison"
    fault = (
        f"One of {TOGETHER} pictures claimed together crashes its process, hangs with the GIL held, deadlocks beside a "
        "living heartbeat, or makes the decoder hang or run out of memory."
    )
    bar = (
        f"Only it ends dead or failed, after at most {SOLO_RUNS} runs alone; what hangs is ended within its allowance "
        f"+ {GRACE_SECONDS:g} s; the {TOGETHER - 1} others succeed and are charged nothing."
    )

    def run(self, world: World) -> Outcome:
        """See the protocol."""
        diary = world.keep(service_folder("poison")) / "diary"
        classes = ",".join(f"bench.faults.poison:{name}" for name in ("KillsItself", "HoldsTheGil", "Wedged"))
        world.start(
            workers=1,
            settings={
                "FQ_PIPELINES": f"motion,{classes}",
                "FQ_CONCURRENCY": "1",
                "FQ_CLAIM_SIZE": str(TOGETHER),
                "FQ_BATCH_SIZE": str(TOGETHER),
                "FQ_STALL_SECONDS": str(STALL_SECONDS),
                "FQ_CAGE_ANSWER_SECONDS": str(ANSWER_SECONDS),
                # the vast picture needs a little more than this
                "FQ_CAGE_MEMORY_BYTES": str(1 << 30),
                DIARY: str(diary),
            },
        )
        figures: dict[str, Any] = {}
        faults = []
        for poison in KINDS:
            told, wrong = _one(world, poison, diary)
            figures[poison.kind] = told
            faults += [f"{poison.kind}: {fault}" for fault in wrong]
        return Outcome(not faults, figures, "; ".join(faults))


def _one(world: World, poison: Poison, diary: Path) -> tuple[dict[str, Any], list[str]]:
    """Submit while no worker is there, so that all are claimed at once; return figures and what was wrong."""
    seen = len(notes(diary))
    with world.stack.held("worker"):
        ids, culprit = _submit(world, poison)
    took = eventually(
        lambda: (
            not world.books.ask(
                "SELECT 1 FROM jobs WHERE id = ANY(%s::uuid[]) AND state IN ('queued', 'running') LIMIT 1", ids
            )
        ),
        PATIENCE_SECONDS,
        f"{poison.kind}: not all jobs ended within {PATIENCE_SECONDS:g} s",
        every=0.2,
    )
    rows = world.books.ask(
        "SELECT j.id::text, j.state, (SELECT coalesce(sum(s.attempts), 0) FROM segments s WHERE s.job_id = j.id)::int"
        " FROM jobs j WHERE j.id = ANY(%s::uuid[])",
        ids,
    )
    state = next(state for job_id, state, _ in rows if job_id == culprit)
    sound = [attempts for job_id, state, attempts in rows if job_id != culprit and state == "succeeded"]
    together, runs, longest = _trail(world, culprit)
    told = {
        "culprit": state,
        "claimed with it": together - 1,
        "runs alone": runs - 1,
        "others done": len(sound),
        "others charged": sum(sound),
        "ended after (s)": _ended_after(world, culprit, diary, seen) if poison.pipeline != "motion" else longest,
        "all settled (s)": round(took, 1),
    }
    world.say(f"{poison.kind}: {told}")
    wrong = _faults(poison, told)
    if wrong:
        events = "SELECT at, kind, claim_id::text, worker_id, data FROM job_events WHERE job_id = %s::uuid ORDER BY id"
        for event in world.books.ask(events, culprit):
            world.say(f"  {event}")
    return told, wrong


def _submit(world: World, poison: Poison) -> tuple[list[str], str]:
    """Return the ids of all jobs, and the culprit's."""

    def is_it(number: int) -> bool:
        return number % TOGETHER == CULPRIT  # one of any so many in a row

    order = Order(poison.pipeline, media=lambda number: poison.make() if is_it(number) else picture(number))
    sent = world.load.burst(TOGETHER, order, threads=2)
    refused = [one for one in sent if one.job_id is None]
    assert not refused, f"a submission was refused: {refused[0]}"
    return [str(one.job_id) for one in sent], next(str(one.job_id) for one in sent if is_it(one.number))


def _trail(world: World, culprit: str) -> tuple[int, int, float]:
    """How many segments its first claim held, how often it was claimed, and the longest from a claim to its outcome."""
    claims = world.books.ask(
        "SELECT c.claim_id::text, extract(epoch FROM min(e.at) - c.at)::float FROM job_events c"
        " LEFT JOIN job_events e ON e.job_id = c.job_id AND e.claim_id = c.claim_id AND e.kind IN"
        " ('lost', 'retried', 'buried', 'rejected', 'held_up')"
        " WHERE c.job_id = %s::uuid AND c.kind = 'claimed' GROUP BY c.id, c.claim_id, c.at ORDER BY c.id",
        culprit,
    )
    first = claims[0][0]
    ((together,),) = world.books.ask(
        "SELECT count(*) FROM job_events WHERE claim_id = %s::uuid AND kind = 'claimed'", first
    )
    return int(together), len(claims), round(max(seconds or 0.0 for _, seconds in claims), 1)


def _ended_after(world: World, culprit: str, diary: Path, seen: int) -> float:
    """The longest from the beginning of the misbehaviour to the row that says its process is gone."""
    ends = [
        float(at)
        for (at,) in world.books.ask(
            "SELECT extract(epoch FROM at)::float FROM job_events"
            " WHERE job_id = %s::uuid AND kind IN ('lost', 'buried') ORDER BY id",
            culprit,
        )
    ]
    begun = [note.at for note in notes(diary)[seen:]]
    assert len(ends) == len(begun), f"{len(begun)} times it misbehaved, {len(ends)} times that was noticed"
    return round(max(end - begin for begin, end in zip(begun, ends, strict=True)), 1)


def _faults(poison: Poison, told: dict[str, Any]) -> list[str]:
    limit = poison.allowance_seconds + GRACE_SECONDS
    wrong = {
        f"it was not claimed with {TOGETHER - 1} others": told["claimed with it"] != TOGETHER - 1,
        f"it ended {told['culprit']}": told["culprit"] not in poison.ends,
        f"it ran alone {told['runs alone']} times": told["runs alone"] > SOLO_RUNS,
        f"only {told['others done']} others succeeded": told["others done"] != TOGETHER - 1,
        "others were charged": told["others charged"] != 0,
        f"it was ended after {told['ended after (s)']} s, not {limit:g}": told["ended after (s)"] > limit,
    }
    return [fault for fault, is_so in wrong.items() if is_so]


SCENARIOS = (PoisonScenario(),)
