"""One claim in hand: what is still open of it, how it is told to stop, and how its outcomes are written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from tenacity import RetryCallState as Attempt
from tenacity import Retrying, retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from storage.claims import ClaimLost
from storage.errors import DatabaseUnavailable, ObjectStoreUnavailable
from storage.job import Bury, ClaimedSegment, Done, Failed, GiveBack, Outcome, Retry
from workers import metrics
from workers.heartbeat import Hold
from workers.logs import get_logger
from workers.retry import TimedOut
from workers.station import Station

log = get_logger(__name__)

Answer = TypeVar("Answer")

#: outcomes wait at most this long for others, to be written in one transaction
SETTLE_SECONDS = 0.5

#: for functions that write to the object store: a hiccup of it costs no one a claim
outlasting_hiccups = retry(
    retry=retry_if_exception_type(ObjectStoreUnavailable),
    wait=wait_random_exponential(multiplier=0.3, max=3.0),
    stop=stop_after_attempt(4),
    reraise=True,
)

WORDS: dict[type, str] = {Done: "done", Failed: "failed", Retry: "retry", Bury: "dead", GiveBack: "given_back"}


class Stopped(Exception):
    """The worker was told to stop; give back what is open."""


class Hand:
    """Fences and bookkeeping around one claim; one thread."""

    def __init__(self, station: Station, hold: Hold, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.station = station
        self.claim = hold.claim
        self.open: dict[str, ClaimedSegment] = {segment.id: segment for segment in hold.claim.segments}
        #: job id -> what became of its segment, for the task's answer
        self.report: dict[str, str] = {}
        #: outcomes that say something of the segment itself, and not of the infrastructure
        self.judged = 0
        self._hold = hold
        self._clock = clock
        self._max_runtime = station.max_runtime_seconds(self.pipeline_name)
        self._ends = clock() + self._max_runtime
        self._collected: list[tuple[ClaimedSegment, Outcome]] = []
        self._settled_at = clock()

    @property
    def pipeline_name(self) -> str:
        """All segments of a claim are of one pipeline."""
        return self.claim.segments[0].pipeline

    @property
    def seconds_left(self) -> float:
        """How long the claim may still run."""
        return max(0.0, self._ends - self._clock())

    def checkpoint(self, allowance_seconds: float | None = None) -> None:
        """Show life, and hear whether to go on; the next sign of life is due within the allowance.

        Raises: Stopped (shutdown), ClaimLost (canceled, deleted, taken over), TimedOut.
        """
        self.station.flags.touch()
        self.station.watchdog.feed(allowance_seconds or self.station.limits.stall_seconds)
        if self.station.flags.stopping:
            raise Stopped
        if self._hold.lost:
            raise ClaimLost(self.claim.id)
        if self._clock() >= self._ends:
            raise TimedOut(f"still running after {self._max_runtime:g} seconds")

    def progress(self, done: int, segments: Sequence[ClaimedSegment]) -> None:
        """Note frames done of segments that are run one after another; the heartbeat carries it away."""
        noted = {}
        for segment in segments:
            total = segment.range.frames
            noted[segment.id] = (min(done, total), total)
            done = max(0, done - total)
        self._hold.progress = noted

    def replace(self, segment: ClaimedSegment) -> None:
        """A plan segment became the only infer segment, under the same claim."""
        self.open[segment.id] = segment

    def planned(self, segment: ClaimedSegment, count: int) -> None:
        """A plan segment is done: its infer segments are in the queue."""
        del self.open[segment.id]
        self._note(segment, f"planned:{count}")
        self.station.hints.tell(segment.job_id)

    def lose(self, segment: ClaimedSegment) -> None:
        """A segment was canceled or taken over; nothing is written of it any more."""
        del self.open[segment.id]
        self._note(segment, "refused")

    def collect(self, outcome: Outcome) -> None:
        """Take an outcome of an open segment; it is written soon, with others."""
        self._collected.append((self.open.pop(outcome.segment_id), outcome))
        self.judged += not isinstance(outcome, GiveBack) and getattr(outcome, "charged", True)
        if self._clock() - self._settled_at >= SETTLE_SECONDS:
            self.settle()

    def settle(self) -> None:
        """Write every collected outcome in one transaction; waits for PostgreSQL while the runtime lasts.

        Raises: DatabaseUnavailable when it stays away, or the worker is told to stop meanwhile.
        """
        self._settled_at = self._clock()
        collected, self._collected = self._collected, []
        if not collected:
            return
        outcomes = [outcome for _, outcome in collected]
        accepted = self.patiently(lambda: self.station.claims.finish(self.claim, outcomes))
        for segment, outcome in collected:
            # a refused result's object is left to the sweeper: an answer that was lost on the way may have been a yes
            self._account(segment, outcome, accepted.get(outcome.segment_id, False))

    def patiently(self, write: Callable[[], Answer]) -> Answer:
        """Call ``write`` again and again while PostgreSQL is away, unwatched, until runtime or worker ends."""

        def enough(attempt: Attempt) -> bool:
            return self._clock() >= self._ends or self.station.flags.stopping or self._hold.lost

        retrying = Retrying(
            retry=retry_if_exception_type(DatabaseUnavailable),
            wait=wait_random_exponential(multiplier=0.2, max=5.0),
            stop=enough,
            reraise=True,
        )
        with self.station.watchdog.paused():
            return retrying(write)

    def _account(self, segment: ClaimedSegment, outcome: Outcome, accepted: bool) -> None:
        word = WORDS[type(outcome)] if accepted else "refused"
        if accepted and isinstance(outcome, Done):
            word = "succeeded" if outcome.summary is not None else "done"
            metrics.count_stages(segment.pipeline, outcome.timings)
            if outcome.rows is not None:
                metrics.FRAMES.labels(segment.pipeline).inc(outcome.rows.count)
        self._note(segment, word, outcome)
        if accepted:
            self.station.hints.tell(segment.job_id)

    def _note(self, segment: ClaimedSegment, word: str, outcome: Outcome | None = None) -> None:
        kind = word.partition(":")[0]
        metrics.OUTCOMES.labels(segment.pipeline, segment.kind.value, kind).inc()
        self.report[segment.job_id] = word
        facts: dict[str, object] = {"job_id": segment.job_id, "segment": segment.index, "kind": segment.kind.value}
        if isinstance(outcome, Failed | Retry | Bury):
            facts |= outcome.fault.as_json()
        if isinstance(outcome, Retry):
            facts |= {"delay_seconds": round(outcome.delay_seconds, 2), "charged": outcome.charged}
        if isinstance(outcome, Done) and outcome.rows is not None:
            facts["frames"] = outcome.rows.count
        log.info(f"segment.{kind}", **facts)


@contextmanager
def in_hand(station: Station, hold: Hold) -> Iterator[Hand]:
    """A hand under the watchdog's eye."""
    with station.watchdog.over(station.max_runtime_seconds(hold.claim.segments[0].pipeline)):
        station.watchdog.feed(station.limits.stall_seconds)
        yield Hand(station, hold)
