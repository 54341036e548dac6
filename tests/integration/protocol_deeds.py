"""Operations of the protocol, each as a call to the real thing and as steps of the model.

A step is what one transaction does. Operations at once are explained by some order of their steps, each operation's own
in their order: that is all that clients and workers may count on.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from storage.claims import Lost, Plan
from storage.errors import JobNotFound, StateConflict
from storage.job import Claim, Outcome, SegmentPlan
from tests.fakes.sql_queue import SqlQueue, new_job
from tests.integration.protocol_model import Model, beat, sets, told
from tests.integration.protocol_rows import Impossible, Job, Refused, expect

#: answers that are part of the protocol
ANSWERS = (JobNotFound, StateConflict)
WANTED: dict[str, Any] = {"lanes": ["cpu"], "size_classes": ["short", "long"], "serves": [("motion", 1)]}
#: no example takes so long that a worker falls silent by itself
LEASE_SECONDS = 3600.0
Step = Callable[[Model], None]


@dataclass
class Deed:
    """``steps`` gets what the call returned, whether others ran beside it, and which of its variants is meant."""

    name: str
    call: Callable[[], Any]
    steps: Callable[[Any, bool, int], Sequence[Step]]
    variants: int = 1
    #: what the test remembers once the answer is explained
    remember: Callable[[Any], None] = field(default=lambda answer: None)

    def run(self) -> Any:
        try:
            return self.call()
        except ANSWERS as answer:
            return answer


def explain(before: Model, deeds: Sequence[Deed], answers: Sequence[Any], after: Any) -> Model | None:
    """The model after some order of all steps that gives these answers and this view; None when there is none."""
    racing = len(deeds) > 1
    for variant in itertools.product(*(range(deed.variants) for deed in deeds)):
        steps = [deed.steps(answer, racing, one) for deed, answer, one in zip(deeds, answers, variant, strict=True)]
        for order in _orders([len(own) for own in steps]):
            fresh = [deed.steps(answer, racing, one) for deed, answer, one in zip(deeds, answers, variant, strict=True)]
            model = before.copy()
            if _happens(model, fresh, order) and model.view() == after:
                return model
    return None


def _happens(model: Model, steps: Sequence[Sequence[Step]], order: Sequence[int]) -> bool:
    turns = [iter(own) for own in steps]
    try:
        for who in order:
            next(turns[who])(model)
    except (Impossible, KeyError):
        return False
    return True


def _orders(lengths: Sequence[int]) -> Iterator[Sequence[int]]:
    """Every way to run several sequences beside each other; one after the other first."""
    plain = [[who] * length for who, length in enumerate(lengths)]
    seen = set()
    for serial in itertools.permutations(plain):
        order = tuple(itertools.chain(*serial))
        seen.add(order)
        yield order
    for order in _interleavings(tuple(lengths)):
        if order not in seen:
            yield order


def _interleavings(left: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    if not any(left):
        yield ()
    for who, count in enumerate(left):
        if count:
            rest = (*left[:who], count - 1, *left[who + 1 :])
            yield from ((who, *order) for order in _interleavings(rest))


def why_not(before: Model, deeds: Sequence[Deed], answers: Sequence[Any], after: Any) -> str:
    """How the operations one after the other, as they were given, differ from what was seen."""
    model = before.copy()
    for deed, answer in zip(deeds, answers, strict=True):
        for step in deed.steps(answer, len(deeds) > 1, 0):
            try:
                step(model)
            except (Impossible, KeyError) as error:
                return f"{deed.name} cannot answer {answer!r}: {error!r}"
    lines = []
    for expected, seen in zip(model.view(), after, strict=True):
        for key in sorted(expected.keys() | seen.keys()):
            if expected.get(key) != seen.get(key):
                lines.append(f"{key}: expected {expected.get(key)}, seen {seen.get(key)}")
    return "\n".join(lines)


def quiet(call: Callable[[], Any]) -> Callable[[], None]:
    """The call without its answer."""

    def run() -> None:
        call()

    return run


def answered(answer: Any, step: Callable[[Model], Any]) -> Step:
    """A step whose result, or refusal, must be the answer."""

    def run(model: Model) -> None:
        try:
            result = step(model)
        except Refused as refusal:
            expect(type(answer).__name__ == str(refusal))
            return
        expect(not isinstance(answer, Exception) and result == answer, result)

    return run


def simple(name: str, call: Callable[[], Any], step: Callable[[Model], Any]) -> Deed:
    """One transaction."""
    return Deed(name, call, lambda answer, racing, variant: [answered(answer, step)])


def submit(queue: SqlQueue, job: Job, key: str | None, fields: Mapping[str, Any]) -> Deed:
    def call() -> tuple[str, bool]:
        made = queue.store.create(new_job(id=job.id, idempotency_key=key, **fields))
        return made.job.id, made.fresh

    return simple(f"submit {job.id[-4:]}", call, lambda model: model.submit(job, key))


def claim(queue: SqlQueue, worker: str, limit: int, remember: Callable[[Any], None]) -> Deed:
    def steps(found: Claim | None, racing: bool, variant: int) -> Sequence[Step]:
        seen: list[set[tuple[str, str]] | None] = []
        return [
            lambda model: seen.append(model.may_claim(worker)),
            lambda model: model.take(found, worker, limit, seen[0], racing=racing),
            lambda model: model.mark_running(found),
        ]

    def call() -> Claim | None:
        return queue.claim(worker, limit=limit, **WANTED)

    return Deed(f"{worker} claims {limit}", call, steps, remember=remember)


def plan(queue: SqlQueue, found: Claim, parts: Mapping[str, int]) -> Deed:
    plans = {segment_id: Plan([SegmentPlan()] * count, {}) for segment_id, count in parts.items()}
    return simple(
        f"{found.worker_id} plans {list(parts.values())}",
        lambda: sets(queue.plan_all(found, plans)),
        lambda model: model.plan(found, parts),
    )


def finish(queue: SqlQueue, found: Claim, outcomes: Sequence[Outcome]) -> Deed:
    words = [type(outcome).__name__ for outcome in outcomes]
    return simple(
        f"{found.worker_id} finishes {words} of claim {found.id[-4:]}",
        lambda: dict(queue.finish(found, outcomes)),
        lambda model: model.finish(found, outcomes),
    )


def heartbeat(
    queue: SqlQueue, worker: str, progress: Mapping[str, tuple[int, int]], in_hand: Collection[str] | None
) -> Deed:
    """It renews, looks at what is held, and gives back what its worker does not know of."""

    def steps(answer: Any, racing: bool, variant: int) -> Sequence[Step]:
        unknown: set[str] = set()

        def look(model: Model) -> None:
            expect(model.held(worker) == answer.held)
            unknown.update(model.left_behind(worker, in_hand) if in_hand is not None else ())

        def give_back(model: Model) -> None:
            model.take_back(worker, "leave", unknown)

        return [
            answered(beat(answer), lambda model: model.heartbeat(worker)),
            look,
            give_back,
        ]

    def call() -> Any:
        return queue.heartbeat(worker, progress, in_hand=in_hand)

    knowing = "" if in_hand is None else f" knowing of {len(in_hand)} claims"
    return Deed(f"{worker} beats{knowing}", call, steps)


def taking_back(name: str, call: Callable[[], Lost], worker: str, why: str, state: str) -> Deed:
    """A worker is declared gone, then what it holds is taken, in as many transactions as it needs."""

    def steps(answer: Lost, racing: bool, variant: int) -> Sequence[Step]:
        taken: list[tuple[int, int]] = []

        def take(model: Model) -> None:
            taken.append(model.take_back(worker, why))

        def add_up(model: Model) -> None:
            take(model)
            expect(tuple(map(sum, zip(*taken, strict=True))) == told(answer), taken)

        if variant:
            return [lambda model: model.leave(worker, state), add_up]
        return [lambda model: model.leave(worker, state), take, add_up]

    return Deed(f"{worker} {name}", call, steps, variants=2)


def lose_silent(queue: SqlQueue, workers: Sequence[str]) -> Deed:
    def steps(answer: Lost, racing: bool, variant: int) -> Sequence[Step]:
        orphaned: set[str] = set()
        taken: list[tuple[int, int]] = [(0, 0)]

        def take(model: Model, worker: str) -> None:
            if worker in orphaned:
                taken.append(model.take_back(worker, "host"))

        def add_up(model: Model) -> None:
            expect(tuple(map(sum, zip(*taken, strict=True))) == told(answer), taken)

        fall: list[Step] = [] if variant else [lambda model: model.fall_silent()]
        each: list[Step] = [lambda model, worker=worker: take(model, worker) for worker in workers]  # type: ignore[misc]
        return [*fall, lambda model: orphaned.update(model.orphaned()), *each, add_up]

    return Deed("the silent are lost", partial(queue.fleet.lose_silent, LEASE_SECONDS), steps, variants=2)


def expire(call: Callable[[], int], jobs: Sequence[str]) -> Deed:
    """A pass over jobs past their time, some of which others have in hand."""
    several = [chosen for size in range(len(jobs) + 1) for chosen in itertools.combinations(jobs, size)]

    def steps(answer: int, racing: bool, variant: int) -> Sequence[Step]:
        found: set[str] = set()

        def look(model: Model) -> None:
            expect(racing or not variant)
            found.update(model.expiring() - set(several[variant]))

        return [look, answered(answer, lambda model: model.expire(found))]

    return Deed("expire", call, steps, variants=len(several))


def skipping(
    name: str, call: Callable[[], Any], step: Callable[[Model, Sequence[str]], Any], jobs: Sequence[str]
) -> Deed:
    """A pass over many rows, which leaves alone those that another transaction has in hand."""
    several = [chosen for size in range(len(jobs) + 1) for chosen in itertools.combinations(jobs, size)]

    def steps(answer: Any, racing: bool, variant: int) -> Sequence[Step]:
        if variant and not racing:
            return [lambda model: expect(False)]
        return [answered(answer, lambda model: step(model, several[variant]))]

    return Deed(name, call, steps, variants=len(several))
