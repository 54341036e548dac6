"""The books of the claims port in memory: what outcomes and losses do to jobs and segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

from storage.claims import Lost
from storage.fleet import MAX_LOSSES
from storage.job import (
    TERMINAL_STATES,
    Bury,
    Claim,
    Done,
    Failed,
    Fault,
    GiveBack,
    JobState,
    Outcome,
    Retry,
    SegmentKind,
    SegmentPlan,
    SegmentState,
)
from tests.fakes.memory_rows import UNFINISHED, MemoryJob, MemorySegment


class MemoryBooks:
    """Jobs, segments, workers and pauses, and the changes that several operations share."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.jobs: dict[str, MemoryJob] = {}
        self.rows: dict[str, MemorySegment] = {}
        self.workers: dict[str, str] = {}
        self.paused: set[tuple[str, str]] = set()
        #: job id -> (outcome, reason) of what was refused
        self.refused: dict[str, list[tuple[str, str]]] = {}
        self._numbers = count(1)

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
