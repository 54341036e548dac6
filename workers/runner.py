"""The runner: claim, run, commit, until nothing is left or the shift is over. Knows nothing of Celery."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import structlog

from storage.claims import ClaimLost
from storage.errors import DatabaseUnavailable
from storage.job import Claim, GiveBack, Outcome, SegmentKind
from workers import metrics
from workers.breaker import Breaker, Way
from workers.halving import run_halved
from workers.hand import Hand, Stopped, in_hand
from workers.logs import get_logger
from workers.rest import Rest
from workers.retry import concerns_everyone, decide, rests_the_worker, spread_blame
from workers.segments import run_merge, run_plans
from workers.station import Station

log = get_logger(__name__)

#: how long the end of a shift waits to learn whether its bell was heard
HEARD_SECONDS = 0.1
#: jobs named in one answer, so that an operator finds them in Flower
MAX_REPORTED = 1000


class Runner:
    """One per worker process; ``work`` is what a doorbell leads to."""

    def __init__(self, station: Station, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._station = station
        self._clock = clock
        self._serves = [(name, pipeline.spec.spec_version) for name, pipeline in station.pipelines.items()]
        self._rest = Rest(station.objects, station.limits.rest_seconds, clock)
        self._breaker = Breaker(clock)

    def work(
        self, lane: str | None = None, size_class: str | None = None, *, until_empty: bool = False
    ) -> dict[str, str]:
        """Claim and run until nothing is left or the shift is over; then ring once more, in the lane we came from.

        While Redis does not take the ring, the shift goes on; ``until_empty``, when no bell led here, it does too.
        Returns job id -> what became of its segment, at most 1,000 of them. Never raises for what jobs or the
        infrastructure do.
        """
        report: dict[str, str] = {}
        until = self._clock() + self._station.limits.shift_seconds
        while self._may_claim():
            claim = self._claim()
            if claim is None:
                return report
            for job_id, word in self._carry_out(claim).items():
                if len(report) < MAX_REPORTED or job_id in report:
                    report[job_id] = word
            if not until_empty and self._clock() >= until and self._hand_on(lane, size_class):
                return report
        if self._station.flags.stopping:
            self._hand_on(lane, size_class)
        return report

    def _hand_on(self, lane: str | None, size_class: str | None) -> bool:
        """Ring for what is left; False when Redis does not take it, and so nobody else will come for it."""
        if lane is None or size_class is None:
            return True
        self._station.doorbell.ring(lane, size_class)
        return self._station.doorbell.heard(HEARD_SECONDS)

    def _may_claim(self) -> bool:
        station = self._station
        if station.flags.stopping or station.pulse.draining or not station.pulse.registered:
            return False
        if self._rest.over():
            return True
        station.flags.touch()  # at rest, not deaf
        return False

    def _claim(self) -> Claim | None:
        limits, ways = self._station.limits, {name: self._breaker.way(name) for name, _ in self._serves}
        trial = self._rest.on_trial or Way.TRIAL in ways.values()
        try:
            claim = self._station.claims.claim(
                self._station.pulse.worker_id,
                lanes=limits.lanes,
                size_classes=limits.size_classes,
                serves=[pair for pair in self._serves if ways[pair[0]] is not Way.SHUT],
                limit=1 if trial else limits.claim_size,
            )
        except DatabaseUnavailable as error:
            self._rest.begin(error)
            return None
        metrics.CLAIMS.labels("yes" if claim else "no").inc()
        return claim

    def _carry_out(self, claim: Claim) -> dict[str, str]:
        first, started, held_up = claim.segments[0], self._clock(), 0
        with (
            structlog.contextvars.bound_contextvars(claim=claim.id),
            self._station.pulse.holding(claim) as hold,
            in_hand(self._station, hold) as hand,
        ):
            for segment in claim.segments:
                log.info("segment.claimed", job_id=segment.job_id, segment=segment.index, kind=segment.kind.value)
                self._station.hints.tell(segment.job_id)
            try:
                self._run(hand)
            except ClaimLost:
                log.info("claim.lost", jobs=[segment.job_id for segment in hand.open.values()])
            except Stopped:
                self._write(hand, [GiveBack(segment_id) for segment_id in hand.open])
            except Exception as error:  # noqa: BLE001 - whatever a pipeline raises is settled by the retry decision
                held_up = len(hand.open) if concerns_everyone(error) and not rests_the_worker(error) else 0
                self._fail(hand, error)
        metrics.CLAIM_SECONDS.labels(first.pipeline, first.kind.value).observe(self._clock() - started)
        self._breaker.note(first.pipeline, held_up=held_up, others=hand.judged)
        self._rest.went_well(since=started)
        return hand.report

    def _run(self, hand: Hand) -> None:
        kind = hand.claim.segments[0].kind
        segments = list(hand.claim.segments)
        if kind is SegmentKind.MERGE:
            for segment in segments:
                run_merge(hand, segment)
            segments = []
        if kind is SegmentKind.PLAN:
            segments = run_plans(hand, segments)
            hand.settle()
        run_halved(hand, segments)
        hand.settle()

    def _fail(self, hand: Hand, error: Exception) -> None:
        """Settle what is open after an error that stopped the whole claim."""
        worker = hand.claim.worker_id
        shared = len(hand.claim.segments) > 1 and not concerns_everyone(error)
        log.warning("claim.failed", error=repr(error), shared=shared, exc_info=not concerns_everyone(error))
        if rests_the_worker(error):
            self._rest.begin(error)

        now = datetime.now(UTC)
        outcomes = [
            spread_blame(error, segment, worker=worker) if shared else decide(error, segment, now, worker=worker)
            for segment in hand.open.values()
        ]
        self._write(hand, outcomes)

    def _write(self, hand: Hand, outcomes: Sequence[Outcome]) -> None:
        """Write last outcomes; if PostgreSQL stays away, the lease gives the segments back."""
        try:
            for outcome in outcomes:
                hand.collect(outcome)
            hand.settle()
        except DatabaseUnavailable as error:
            self._rest.begin(error)
