"""What the job store answers with, besides jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.job import Job, JobState, Rows, SegmentState


@dataclass(frozen=True, slots=True)
class Created:
    """The job, and whether this call made it (False: the idempotency key was known, same request)."""

    job: Job
    fresh: bool


@dataclass(frozen=True, slots=True)
class JobFilter:
    """What ``list`` narrows by; None means any."""

    states: Sequence[JobState] | None = None
    pipeline: str | None = None
    batch_id: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs, newest first, and the cursor (id of the last one) for the next page."""

    jobs: Sequence[Job]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class SegmentResult:
    """An infer segment of a run, with where its rows lie."""

    index: int
    state: SegmentState
    start_pts: int | None
    end_pts: int | None
    frames: int
    rows: Rows | None


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """How many jobs stand before this one in its lane (exact to 1,000, then estimated), and their cost ahead."""

    position: int
    exact: bool
    seconds_ahead: float
