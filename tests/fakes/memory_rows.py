"""Jobs and segments of the claims port in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from storage.job import ClaimedSegment, InputRef, JobState, SegmentKind, SegmentPlan, SegmentState

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


def likeness(segment: MemorySegment) -> tuple[Any, ...]:
    """Segments that are alike in this come together in a claim."""
    job = segment.job
    return job.batch_key, segment.kind, job.pipeline, job.spec_version, job.lane, job.size_class


def as_claimed(segment: MemorySegment) -> ClaimedSegment:
    """What a worker is told of a segment."""
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
