"""The breaker: a pipeline whose claims mostly fail for no fault of the jobs is left alone for a while."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from workers.logs import get_logger

log = get_logger(__name__)

#: outcomes of this long ago and newer are looked at
WINDOW_SECONDS = 30.0
#: fewer prove nothing
LEAST_OUTCOMES = 4
#: how long a pipeline is left alone; then one claim of one segment tells whether it goes on
PAUSE_SECONDS = 15.0
#: outcomes remembered of one pipeline
REMEMBERED = 1000


class Way(Enum):
    """Whether a pipeline may be claimed."""

    FREE = "free"
    SHUT = "shut"
    #: one segment, to see
    TRIAL = "trial"


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one segment: held up by the infrastructure, or anything else."""

    at: float
    held_up: bool


def way(seen: Sequence[Seen], shut_at: float | None, now: float) -> Way:
    """Decide, from the outcomes of one pipeline and since when it is shut."""
    if shut_at is not None:
        return Way.SHUT if now - shut_at < PAUSE_SECONDS else Way.TRIAL
    lately = [one.held_up for one in seen if now - one.at < WINDOW_SECONDS]
    return Way.SHUT if len(lately) >= LEAST_OUTCOMES and 2 * sum(lately) > len(lately) else Way.FREE


@dataclass(slots=True)
class _Record:
    seen: deque[Seen] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    shut_at: float | None = None


class Breaker:
    """One per worker process, one thread; a process that claims one thing at a time makes one trial at a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._records: defaultdict[str, _Record] = defaultdict(_Record)

    def way(self, pipeline: str) -> Way:
        """Whether it may be claimed now."""
        record = self._records[pipeline]
        return way(record.seen, record.shut_at, self._clock())

    def note(self, pipeline: str, *, held_up: int, others: int) -> None:
        """Take in a claim's outcomes: how many segments the infrastructure held up, how many it did not."""
        if not held_up + others:
            return
        record, now = self._records[pipeline], self._clock()
        if record.shut_at is not None:
            record.seen.clear()
            record.shut_at = now if held_up else None
            log.info("breaker.stays_shut" if held_up else "breaker.opens", pipeline=pipeline)
            return
        record.seen.extend([Seen(now, held_up=True)] * held_up + [Seen(now, held_up=False)] * others)
        if way(record.seen, None, now) is Way.SHUT:
            record.shut_at = now
            log.warning("breaker.shuts", pipeline=pipeline, seconds=PAUSE_SECONDS)
