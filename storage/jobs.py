"""Jobs as clients see them: create, read, list, cancel, replay, erase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.database import Database
from storage.job import Fault, InputRef, Job, JobState, NewJob, Rows, SegmentState


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


class JobStore:
    """Conditional writes on ``jobs``; lock order is jobs by id, then segments by id."""

    def __init__(self, database: Database) -> None:
        raise NotImplementedError

    def create(self, new: NewJob) -> Created:
        """Insert job and first segment (none while ``uploading``) in one transaction.

        Concurrent duplicates of one idempotency key: the loser returns the winner's job.
        Raises: IdempotencyConflict (same key, other fingerprint), UploadNotFound, StateConflict (upload not complete).
        """
        raise NotImplementedError

    def get(self, job_id: str, tenant: str | None = None) -> Job:
        """Raises: JobNotFound, also for another tenant's job."""
        raise NotImplementedError

    def list(self, tenant: str, where: JobFilter, *, cursor: str | None, limit: int) -> Page:
        """Newest first."""
        raise NotImplementedError

    def cancel(self, job_id: str, tenant: str | None = None) -> tuple[Job, bool]:
        """End the job ``canceled`` at once; return the row and whether this call did it. Raises: JobNotFound."""
        raise NotImplementedError

    def fail(self, job_id: str, fault: Fault, *, from_states: Sequence[JobState]) -> bool:
        """End a job that no claim holds (ingest refused, expired) as ``failed``; False if it was in no such state."""
        raise NotImplementedError

    def replay(
        self,
        job_id: str,
        tenant: str | None = None,
        *,
        params: Mapping[str, Any] | None = None,
        batch_key: str | None = None,
    ) -> Job:
        """Start a new run of a terminal job: same params keep the done segments, changed params plan again.

        Raises: JobNotFound, StateConflict (not terminal).
        """
        raise NotImplementedError

    def erase(self, job_id: str, tenant: str | None = None) -> list[str]:
        """Cancel if need be, delete the row and return the object keys that now have no owner. Raises: JobNotFound."""
        raise NotImplementedError

    def attach_input(self, job_id: str, source: InputRef) -> bool:
        """``uploading`` -> ``queued`` once the input lies in our store; False when the job has ended meanwhile."""
        raise NotImplementedError

    def uploading(self, limit: int) -> Sequence[Job]:
        """Jobs whose remote input must still be copied in, oldest first."""
        raise NotImplementedError

    def segment_results(self, job_id: str, run: int) -> Sequence[SegmentResult]:
        """Infer segments of a run in order of time."""
        raise NotImplementedError

    def events(self, job_id: str, *, after: int = 0, limit: int = 1000) -> Sequence[Mapping[str, Any]]:
        """History rows: id, run, kind, at, segment_id, claim_id, worker_id, data."""
        raise NotImplementedError

    def queue_place(self, job: Job) -> QueuePlace | None:
        """Where a queued job stands; None when it is not waiting for a worker."""
        raise NotImplementedError
