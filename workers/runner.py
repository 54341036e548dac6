"""The runner: claim, run, commit, until nothing is left or the shift is over. Knows nothing of Celery."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import structlog

from storage.claims import ClaimLost
from storage.errors import DatabaseUnavailable, StorageUnavailable
from storage.job import Claim, GiveBack, Outcome, SegmentKind
from workers import metrics
from workers.hand import Hand, Stopped, in_hand
from workers.logs import get_logger
from workers.retry import concerns_everyone, decide, spread_blame
from workers.segments import run_infers, run_merge, run_plans
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
        self._rest_until = 0.0

    def work(self, lane: str | None = None, size_class: str | None = None) -> dict[str, str]:
        """Claim and run until nothing is left or the shift is over; then ring once more, in the lane we came from.

        While Redis does not take the ring, the shift goes on.
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
            if self._clock() >= until and self._hand_on(lane, size_class):
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
        return self._clock() >= self._rest_until

    def _claim(self) -> Claim | None:
        limits = self._station.limits
        self._station.flags.touch()
        try:
            claim = self._station.claims.claim(
                self._station.pulse.worker_id,
                lanes=limits.lanes,
                size_classes=limits.size_classes,
                serves=self._serves,
                limit=limits.claim_size,
            )
        except DatabaseUnavailable as error:
            self._rest(error)
            return None
        metrics.CLAIMS.labels("yes" if claim else "no").inc()
        return claim

    def _carry_out(self, claim: Claim) -> dict[str, str]:
        first, started = claim.segments[0], self._clock()
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
                self._fail(hand, error)
        metrics.CLAIM_SECONDS.labels(first.pipeline, first.kind.value).observe(self._clock() - started)
        return hand.report

    def _run(self, hand: Hand) -> None:
        kind = hand.claim.segments[0].kind
        segments = list(hand.claim.segments)
        if kind is SegmentKind.MERGE:
            for segment in segments:
                run_merge(hand, segment)
            return
        if kind is SegmentKind.PLAN:
            segments = run_plans(hand, segments)
            hand.settle()
        if segments:
            run_infers(hand, segments)

    def _fail(self, hand: Hand, error: Exception) -> None:
        """Settle what is open after an error that stopped the whole claim."""
        worker = hand.claim.worker_id
        shared = len(hand.claim.segments) > 1 and not concerns_everyone(error)
        log.warning("claim.failed", error=repr(error), shared=shared, exc_info=not concerns_everyone(error))
        if isinstance(error, StorageUnavailable):
            self._rest(error)

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
            self._rest(error)

    def _rest(self, error: Exception) -> None:
        """Leave a failing service alone for a while: a thousand claims against it would help nobody."""
        self._rest_until = self._clock() + self._station.limits.rest_seconds
        log.warning("worker.rests", error=repr(error), seconds=self._station.limits.rest_seconds)
