"""The claims port in memory: small, deterministic, one thread; held to the contract suite of SqlClaims.

Time stands still until ``pass_time`` moves it. Fair queueing is left out: tags are given by ``add_job``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from storage.claims import LEFT_BEHIND_SECONDS, ClaimLost, Heartbeat, Lost, Plan, Planned
from storage.history import OUTCOME_WORDS
from storage.job import (
    Bury,
    Claim,
    ClaimedSegment,
    Done,
    Failed,
    GiveBack,
    JobState,
    Outcome,
    Retry,
    SegmentKind,
    SegmentPlan,
    SegmentState,
)
from tests.fakes.memory_books import MemoryBooks
from tests.fakes.memory_rows import UNFINISHED, MemoryJob, MemorySegment, as_claimed, likeness


class MemoryClaims(MemoryBooks):
    """``storage.claims.Claims``, and the methods by which a test plays everybody else."""

    # the port

    def claim(
        self,
        worker_id: str,
        *,
        lanes: Sequence[str],
        size_classes: Sequence[str],
        serves: Sequence[tuple[str, int]],
        limit: int,
    ) -> Claim | None:
        if self.workers.get(worker_id) != "live":
            return None
        ready = [
            segment
            for segment in sorted(self.rows.values(), key=lambda segment: (segment.tag, segment.id))
            if segment.state is SegmentState.READY and self._may(segment.job, lanes, size_classes, serves)
        ]
        if not ready:
            return None
        head = ready[0]
        taken = [head]
        if not head.solo and head.kind is not SegmentKind.MERGE and head.job.size_class == "short":
            taken += [other for other in ready[1:] if not other.solo and likeness(other) == likeness(head)]
        taken = taken[:limit]
        claim_id = self._new_id()
        for segment in taken:
            segment.state, segment.claim_id, segment.claim_size = SegmentState.CLAIMED, claim_id, len(taken)
            segment.worker_id, segment.claimed_at = worker_id, self.now
            segment.run_after, segment.progress = None, (0, 0)
            segment.job.state = JobState.RUNNING
        return Claim(claim_id, worker_id, tuple(as_claimed(segment) for segment in taken))

    def plan_all(self, claim: Claim, plans: Mapping[str, Plan]) -> Planned:
        if not all(plan.segments for plan in plans.values()):
            raise ValueError("a plan has at least one segment")
        infers, cut, lost = {}, set(), set()
        for segment_id, plan in plans.items():
            try:
                infer = self.plan(claim, segment_id, plan.segments, media=plan.media, warnings=plan.warnings)
            except ClaimLost:
                lost.add(segment_id)
            else:
                if infer is None:
                    cut.add(segment_id)
                else:
                    infers[segment_id] = infer
        return Planned(infers, frozenset(cut), frozenset(lost))

    def plan(
        self,
        claim: Claim,
        segment_id: str,
        plans: Sequence[SegmentPlan],
        *,
        media: Mapping[str, Any],
        warnings: Sequence[Mapping[str, Any]] = (),
    ) -> ClaimedSegment | None:
        if not plans:
            raise ValueError("a plan has at least one segment")
        segment = self.rows.get(segment_id)
        held = segment is not None and segment.claim_id == claim.id
        if segment is None or not held or segment.state not in {SegmentState.CLAIMED, SegmentState.DONE}:
            self._note_refused(claim, segment_id, "plan")
            raise ClaimLost(claim.id)
        if segment.state is SegmentState.DONE:
            return None
        if segment.kind is SegmentKind.INFER:
            return as_claimed(segment)
        job = segment.job
        job.segments_total = job.segments_left = len(plans)
        job.media = media
        job.warnings.extend(warnings)
        if len(plans) == 1:
            segment.kind, segment.range = SegmentKind.INFER, plans[0]
            return as_claimed(segment)
        segment.state = SegmentState.DONE
        ahead = 0.0
        for index, part in enumerate(plans):
            self._add(MemorySegment(self._new_id(), job, SegmentKind.INFER, segment.tag + ahead, index, part))
            ahead += part.cost_seconds / 4
        return None

    def finish(self, claim: Claim, outcomes: Sequence[Outcome]) -> Mapping[str, bool]:
        ranks = [Done, Failed, Bury, Retry, GiveBack]
        accepted = {
            outcome.segment_id: self._finish_one(claim, outcome)
            for outcome in sorted(outcomes, key=lambda outcome: ranks.index(type(outcome)))
        }
        for outcome in outcomes:
            if not accepted[outcome.segment_id]:
                self._note_refused(claim, outcome.segment_id, OUTCOME_WORDS[type(outcome)])
        return accepted

    def heartbeat(
        self, worker_id: str, progress: Mapping[str, tuple[int, int]], *, in_hand: Collection[str] | None = None
    ) -> Heartbeat:
        held = self._held_by(worker_id)
        for row in self.rows.values():
            mine = row.worker_id == worker_id and row.state is SegmentState.CLAIMED
            old = mine and (row.claimed_at or self.now) < self.now - timedelta(seconds=LEFT_BEHIND_SECONDS)
            if old and in_hand is not None and row.claim_id not in in_hand:
                self._return(row)
        state = self.workers.get(worker_id)
        if state not in {"live", "draining"}:
            return Heartbeat(held, draining=False, lost=True)
        for segment_id, pair in progress.items():
            segment = self.rows.get(segment_id)
            if segment and segment.worker_id == worker_id and segment.state is SegmentState.CLAIMED:
                segment.progress = pair
                self._show_progress(segment.job)
        return Heartbeat(held, draining=state == "draining", lost=False)

    def holds(self, claim: Claim) -> bool:
        ids = {segment.id for segment in claim.segments}
        return any(row.id in ids and row.claim_id == claim.id and row.state in UNFINISHED for row in self.rows.values())

    # everybody else

    def add_job(self, **fields: Any) -> str:
        """Add a queued job with its plan segment; ``fields`` are those of MemoryJob. Tags rise if none is given."""
        job = MemoryJob(id=self._new_id(), **({"tag": float(len(self.jobs))} | fields))
        self.jobs[job.id] = job
        self._add(MemorySegment(self._new_id(), job, SegmentKind.PLAN, job.tag))
        return job.id

    def register(self, worker_id: str) -> None:
        self.workers[worker_id] = "live"

    def drain(self, worker_id: str) -> None:
        self.workers[worker_id] = "draining"

    def pause(self, kind: str, name: str) -> None:
        self.paused.add((kind, name))

    def resume(self, kind: str, name: str) -> None:
        self.paused.discard((kind, name))

    def job(self, job_id: str) -> MemoryJob:
        return self.jobs[job_id]

    def segments(self, job_id: str) -> list[MemorySegment]:
        """Every segment of a job, by kind (plan, infer, merge) and index."""
        kinds = list(SegmentKind)
        found = [segment for segment in self.rows.values() if segment.job.id == job_id]
        return sorted(found, key=lambda segment: (kinds.index(segment.kind), segment.index))

    def refusals(self, job_id: str) -> list[tuple[str, str]]:
        """Outcome and reason of what was refused, oldest first."""
        return self.refused.get(job_id, [])

    def cancel(self, job_id: str) -> bool:
        return self._end(self.jobs[job_id], JobState.CANCELED)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and wake what is due."""
        self.now += timedelta(seconds=seconds)
        for segment in self.rows.values():
            if segment.state is SegmentState.WAITING and segment.run_after and segment.run_after <= self.now:
                segment.state, segment.run_after = SegmentState.READY, None

    def lose_child(self, worker_id: str) -> Lost:
        self.workers[worker_id] = "lost"
        return self._lose(worker_id, charge=True)

    def lose_host(self, worker_id: str) -> Lost:
        self.workers[worker_id] = "lost"
        return self._lose(worker_id, charge=False)
