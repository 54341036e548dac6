"""How long work lay idle after its worker was killed."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Protocol

from bench.faults.history import Event, History
from bench.faults.job_life import ENDS, OUTCOMES


class Kill(Protocol):
    """A fault that took what workers held."""

    @property
    def at(self) -> float:
        """By the database's clock, seconds since the epoch."""

    @property
    def worker_ids(self) -> Sequence[str]:
        """As the fleet calls the processes that were hit."""


def recovery_seconds(history: History, kills: Iterable[Kill]) -> list[float]:
    """For each kill and each segment its victim held: seconds until the next claim or the end of that segment.

    Infinite for those that nobody came back for. Only what was held at the kill counts: of a worker that was frozen
    and lives on, later claims do not.
    """
    times: defaultdict[str, list[float]] = defaultdict(list)
    for kill in sorted(kills, key=attrgetter("at")):
        for worker_id in kill.worker_ids:
            times[worker_id].append(kill.at)
    return [seconds for events in history.events.values() for seconds in _of_job(events, times)]


def percentiles(seconds: Sequence[float]) -> dict[str, float | int | None]:
    """Count, p50, p90, p99 and max by the nearest rank; None where that is never, and ``never`` counts those."""
    ranked = sorted(seconds)
    found: dict[str, float | int | None] = {"count": len(ranked), "never": sum(math.isinf(one) for one in ranked)}
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)):
        one = ranked[max(0, math.ceil(share * len(ranked)) - 1)] if ranked else math.inf
        found[name] = None if math.isinf(one) else round(one, 3)
    return found


def _of_job(events: Sequence[Event], times: Mapping[str, Sequence[float]]) -> Iterator[float]:
    held: dict[str, Event] = {}
    idle: defaultdict[str, list[float]] = defaultdict(list)

    def let_go(segment_id: str, at: float) -> None:
        claim = held.pop(segment_id, None)
        if claim is not None:
            hurt = times.get(claim.worker_id or "", ())
            idle[segment_id] += hurt[bisect_left(hurt, claim.at) : bisect_left(hurt, at)]

    for event in events:
        over = [event.segment_id] if event.segment_id is not None else list(held | idle) if event.kind in ENDS else []
        for segment_id in over:
            if event.kind in OUTCOMES or event.kind in ENDS or event.kind == "claimed":
                let_go(segment_id, event.at)
            if _recovers(event):
                yield from (event.at - kill for kill in idle.pop(segment_id, ()))
        if event.kind == "claimed" and event.segment_id is not None:
            held[event.segment_id] = event
    for segment_id in list(held):
        let_go(segment_id, math.inf)
    yield from (math.inf for kills in idle.values() for _ in kills)


def _recovers(event: Event) -> bool:
    """Somebody has it again, or nobody needs to."""
    ends_segment = OUTCOMES.get(event.kind) in ("done", "dead")
    made_way = event.kind == "planned" and (event.data or {}).get("segments", 0) > 1
    return event.kind == "claimed" or event.kind in ENDS or ends_segment or made_way
