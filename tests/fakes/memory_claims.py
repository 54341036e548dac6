"""The claims port in memory: small, deterministic, one thread; held to the contract suite of SqlClaims.

Time stands still until ``pass_time`` moves it. Fair queueing is left out: tags are given by ``add_job``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from storage.claims import LEFT_BEHIND_SECONDS, ClaimLost, Heartbeat, Lost, Plan, Planned
from storage.fleet import MAX_LOSSES
from storage.history import OUTCOME_WORDS
from storage.job import (
    TERMINAL_STATES,
    Bury,
    Claim,
    ClaimedSegment,
    Done,
    Failed,
    Fault,
    GiveBack,
    InputRef,
    JobState,
    Outcome,
    Retry,
    SegmentKind,
    SegmentPlan,
    SegmentState,
)

UNFINISHED = {SegmentState.WAITING, SegmentState.READY, SegmentState.CLAIMED}


@dataclass
class MemoryJob:
    """What the suite and the runner's tests read of a job."""

    id: str
    tenant: str = "tenant"
    pipeline: str = "motion"
    spec_version: int = 1
    params: Mapping[str, Any] = field(default_factory=dict)
    batch_key: str = "alike"
    lane: str = "cpu"
    size_class: str = "short"
    input: InputRef = field(default_factory=lambda: InputRef(key="inputs/x/source"))
    max_attempts: int = 3
    allow_partial: bool = False
    missing_ranges: list[Mapping[str, Any]] = field(default_factory=list)
    tag: float = 0.0
    run: int = 1
    state: JobState = JobState.QUEUED
    segments_total: int = 0
    segments_left: int = 0
    progress: float = 0.0
    attempts: int = 0
    frames: int = 0
    media: Mapping[str, Any] | None = None
    summary: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    warnings: list[Mapping[str, Any]] = field(default_factory=list)
    models: list[Mapping[str, Any]] = field(default_factory=list)
    artifacts: list[Mapping[str, Any]] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    run_after: datetime | None = None


@dataclass
class MemorySegment:
    """One segment."""

    id: str
    job: MemoryJob
    kind: SegmentKind
    tag: float
    index: int = 0
    range: SegmentPlan = field(default_factory=SegmentPlan)
    state: SegmentState = SegmentState.READY
    solo: bool = False
    attempts: int = 0
    holdups: int = 0
    losses: int = 0
    held_up_since: datetime | None = None
    run_after: datetime | None = None
    claim_id: str | None = None
    claim_size: int = 0
    worker_id: str | None = None
    claimed_at: datetime | None = None
    rows: Any = None
    errors: list[Mapping[str, Any]] = field(default_factory=list)
    progress: tuple[int, int] = (0, 0)


class MemoryClaims:
    """``storage.claims.Claims``, and the methods by which a test plays everybody else."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.jobs: dict[str, MemoryJob] = {}
        self.rows: dict[str, MemorySegment] = {}
        self.workers: dict[str, str] = {}
        self.paused: set[tuple[str, str]] = set()
        #: job id -> (outcome, reason) of what was refused
        self.refused: dict[str, list[tuple[str, str]]] = {}
        self._numbers = count(1)

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
            taken += [other for other in ready[1:] if not other.solo and _likeness(other) == _likeness(head)]
        taken = taken[:limit]
        claim_id = self._new_id()
        for segment in taken:
            segment.state, segment.claim_id, segment.claim_size = SegmentState.CLAIMED, claim_id, len(taken)
            segment.worker_id, segment.claimed_at = worker_id, self.now
            segment.run_after, segment.progress = None, (0, 0)
            segment.job.state = JobState.RUNNING
        return Claim(claim_id, worker_id, tuple(_as_claimed(segment) for segment in taken))

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
            return _as_claimed(segment)
        job = segment.job
        job.segments_total = job.segments_left = len(plans)
        job.media = media
        job.warnings.extend(warnings)
        if len(plans) == 1:
            segment.kind, segment.range = SegmentKind.INFER, plans[0]
            return _as_claimed(segment)
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

    # inside

    def _finish_one(self, claim: Claim, outcome: Outcome) -> bool:
        segment = self.rows.get(outcome.segment_id)
        if segment is None or segment.claim_id != claim.id:
            return False
        if segment.state is SegmentState.DONE:
            return isinstance(outcome, Done)
        if segment.state not in UNFINISHED:
            return False
        if isinstance(outcome, Done):
            self._done(segment, outcome)
        elif isinstance(outcome, GiveBack):
            self._return(segment)
        elif isinstance(outcome, Failed):
            self._bury(segment, outcome.fault, JobState.FAILED)
        elif isinstance(outcome, Bury):
            self._bury(segment, outcome.fault, JobState.DEAD)
        else:
            self._retry(segment, outcome)
        return True

    def _note_refused(self, claim: Claim, segment_id: str, word: str) -> None:
        row = self.rows.get(segment_id)
        given = next((segment for segment in claim.segments if segment.id == segment_id), None)
        if row is None or given is None:
            return
        if row.job.run != given.run:
            reason = "replayed"
        elif row.claim_id not in {None, claim.id}:
            reason = "taken_over"
        elif row.job.state in TERMINAL_STATES:
            reason = "job_ended"
        else:
            reason = "segment_ended" if row.state in {SegmentState.DONE, SegmentState.DEAD} else "given_back"
        self.refused.setdefault(row.job.id, []).append((word, reason))

    def _done(self, segment: MemorySegment, done: Done) -> None:
        job = segment.job
        if segment.kind is SegmentKind.PLAN:
            raise ValueError("a plan segment is carried out, not done")
        ends = segment.kind is SegmentKind.MERGE or job.segments_total == 1
        if ends and done.summary is None:
            raise ValueError("a segment that ends its job must bring a summary")
        segment.state, segment.rows = SegmentState.DONE, done.rows
        job.warnings.extend(warning for warning in done.warnings if warning not in job.warnings)
        job.models.extend(model for model in done.models if model not in job.models)
        for stage, seconds in done.timings.items():
            job.timings[stage] = job.timings.get(stage, 0.0) + seconds
        if done.input_sha256 and not job.input.sha256:
            job.input = replace(job.input, sha256=done.input_sha256)
        if segment.kind is SegmentKind.INFER:
            job.segments_left -= 1
            job.frames += done.rows.count if done.rows else segment.range.frames
            self._show_progress(job)
        if ends:
            job.summary, job.progress = done.summary, 1.0
            job.artifacts = [artifact.as_json() for artifact in done.artifacts]
            if job.missing_ranges:
                job.warnings.insert(0, {"code": "result.partial"})
            self._end(job, JobState.SUCCEEDED)
        else:
            self._after_result(segment)

    def _after_result(self, segment: MemorySegment) -> None:
        if segment.job.segments_left == 0:
            merge_range = SegmentPlan(frames=0)
            self._add(MemorySegment(self._new_id(), segment.job, SegmentKind.MERGE, segment.tag, range=merge_range))
        else:
            self._requeue(segment.job, {SegmentState.CLAIMED, SegmentState.READY})

    def _retry(self, segment: MemorySegment, retry: Retry) -> None:
        if retry.charged and segment.attempts + 1 >= segment.job.max_attempts:
            segment.attempts += 1
            segment.job.attempts += 1
            self._bury(segment, retry.fault, JobState.DEAD)
            return
        if retry.charged:
            segment.attempts += 1
            segment.job.attempts += 1
            segment.holdups, segment.held_up_since = 0, None
        else:
            segment.holdups += 1
            segment.held_up_since = segment.held_up_since or self.now
        self._return(segment, retry.fault, solo=retry.solo, delay_seconds=retry.delay_seconds)

    def _return(
        self,
        segment: MemorySegment,
        fault: Fault | None = None,
        *,
        solo: bool = False,
        delay_seconds: float = 0.0,
        keeps_claim: bool = False,
    ) -> None:
        if fault is not None:
            segment.errors = [*segment.errors, fault.as_json()][-5:]
        segment.solo = segment.solo or solo
        segment.state = SegmentState.WAITING if delay_seconds > 0 else SegmentState.READY
        segment.run_after = self.now + timedelta(seconds=delay_seconds) if delay_seconds > 0 else None
        if not keeps_claim:
            segment.claim_id = segment.worker_id = None
        self._requeue(segment.job, {SegmentState.CLAIMED})

    def _requeue(self, job: MemoryJob, busy: set[SegmentState]) -> None:
        open_ones = [row for row in self.rows.values() if row.job is job and row.state in UNFINISHED]
        if open_ones and not any(row.state in busy for row in open_ones):
            waits = [row.run_after for row in open_ones]
            job.state = JobState.QUEUED
            job.run_after = None if None in waits else min(when for when in waits if when)

    def _bury(self, segment: MemorySegment, fault: Fault, state: JobState) -> None:
        job = segment.job
        segment.errors = [*segment.errors, fault.as_json()][-5:]
        segment.state, segment.claim_id, segment.worker_id = SegmentState.DEAD, None, None
        if job.allow_partial and segment.kind is SegmentKind.INFER and job.segments_total > 1:
            gap = {"segment": segment.index, "start_pts": segment.range.start_pts, "end_pts": segment.range.end_pts}
            job.missing_ranges.append(gap | {"code": fault.code})
            job.segments_left -= 1
            if len(job.missing_ranges) < job.segments_total:
                self._show_progress(job)
                self._after_result(segment)
                return
        job.error = fault.as_json()
        self._end(job, state)

    def _end(self, job: MemoryJob, state: JobState) -> bool:
        if job.state in TERMINAL_STATES:
            return False
        job.state, job.run_after = state, None
        for segment in self.rows.values():
            if segment.job is job and segment.state in UNFINISHED:
                segment.state, segment.claim_id, segment.worker_id = SegmentState.DROPPED, None, None
        return True

    def _lose(self, worker_id: str, *, charge: bool) -> Lost:
        held = [row for row in self.rows.values() if row.worker_id == worker_id and row.state is SegmentState.CLAIMED]
        buried = 0
        for segment in held:
            fault = Fault("worker.lost", "lost", worker=worker_id)
            alone = segment.claim_size == 1
            charged = charge and alone
            segment.attempts += charged
            segment.job.attempts += charged
            segment.losses += not charge
            if (charged and segment.attempts >= segment.job.max_attempts) or segment.losses >= MAX_LOSSES:
                buried += 1
                self._bury(segment, fault, JobState.DEAD)
            else:
                self._return(segment, fault, solo=charge or not alone, keeps_claim=True)
        lanes = {(row.job.lane, row.job.size_class) for row in held if row.state is SegmentState.READY}
        return Lost(len(held), buried, frozenset(lanes))

    def _may(
        self, job: MemoryJob, lanes: Sequence[str], size_classes: Sequence[str], serves: Sequence[tuple[str, int]]
    ) -> bool:
        places = {("pipeline", job.pipeline), ("lane", job.lane), ("tenant", job.tenant)}
        served = any(name == job.pipeline and job.spec_version <= version for name, version in serves)
        return served and job.lane in lanes and job.size_class in size_classes and not places & self.paused

    def _show_progress(self, job: MemoryJob) -> None:
        parts = [
            row.progress[0] / row.progress[1]
            for row in self.rows.values()
            if row.job is job and row.state is SegmentState.CLAIMED and row.progress[1]
        ]
        if job.segments_total:
            whole = (job.segments_total - job.segments_left + sum(parts)) / job.segments_total
            job.progress = max(job.progress, min(0.99, whole))

    def _held_by(self, worker_id: str) -> frozenset[str]:
        return frozenset(
            row.claim_id
            for row in self.rows.values()
            if row.worker_id == worker_id and row.claim_id is not None and row.state in UNFINISHED
        )

    def _add(self, segment: MemorySegment) -> None:
        self.rows[segment.id] = segment

    def _new_id(self) -> str:
        return str(UUID(int=next(self._numbers) | 0x7 << 76 | 0b10 << 62))


def _likeness(segment: MemorySegment) -> tuple[Any, ...]:
    job = segment.job
    return job.batch_key, segment.kind, job.pipeline, job.spec_version, job.lane, job.size_class


def _as_claimed(segment: MemorySegment) -> ClaimedSegment:
    job = segment.job
    return ClaimedSegment(
        id=segment.id,
        job_id=job.id,
        run=job.run,
        index=segment.index,
        kind=segment.kind,
        tenant=job.tenant,
        pipeline=job.pipeline,
        spec_version=job.spec_version,
        lane=job.lane,
        size_class=job.size_class,
        params=job.params,
        batch_key=job.batch_key,
        input=job.input,
        range=segment.range,
        solo=segment.solo,
        attempts=segment.attempts,
        max_attempts=job.max_attempts,
        holdups=segment.holdups,
        held_up_since=segment.held_up_since,
        segments_total=job.segments_total,
        media=job.media,
    )
