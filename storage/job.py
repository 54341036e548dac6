"""The words of the queue: job, segment, claim, outcome.

Plain data, standard library only. State strings are the same in SQL, API, docs and metrics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from storage.artifacts import Artifact


class JobState(StrEnum):
    """Where a run of a job stands; see ARCHITECTURE.md for the picture."""

    #: the input is still on its way (open upload, URL or foreign object) -> queued | failed | canceled
    UPLOADING = "uploading"
    #: waits for a worker -> running | canceled
    QUEUED = "queued"
    #: at least one segment was claimed; may go back to queued -> any terminal state
    RUNNING = "running"
    #: all segments done, summary written
    SUCCEEDED = "succeeded"
    #: the input's or the request's fault; never retried
    FAILED = "failed"
    #: our fault, attempts used up; an operator looks and replays
    DEAD = "dead"
    #: the client said so
    CANCELED = "canceled"


TERMINAL_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.DEAD, JobState.CANCELED})


class SegmentState(StrEnum):
    """Where a segment stands; only ``ready`` is in the claim index."""

    #: due later (``run_after``), or held; the dispatcher moves it to ready
    WAITING = "waiting"
    READY = "ready"
    CLAIMED = "claimed"
    DONE = "done"
    DEAD = "dead"
    #: its job ended without it
    DROPPED = "dropped"


class SegmentKind(StrEnum):
    """What claiming a segment asks the worker to do."""

    PLAN = "plan"
    INFER = "infer"
    MERGE = "merge"


class Priority(StrEnum):
    """Share of the machine; ``urgent`` goes before everything and needs scope ``operate``."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


#: weight in start-time fair queueing; urgent has tag -infinity instead
PRIORITY_WEIGHT = {Priority.LOW: 1.0, Priority.NORMAL: 4.0, Priority.HIGH: 16.0}


@dataclass(frozen=True, slots=True)
class InputRef:
    """Where a job's input lies; identity is key + size + etag, sha256 is filled by whoever reads all bytes."""

    key: str | None = None
    size_bytes: int | None = None
    etag: str | None = None
    sha256: str | None = None
    filename: str | None = None
    content_type: str | None = None
    #: remote source that the ingest duty copies to ``key``: http(s) URL or ``s3://bucket/key``
    source_url: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong, as stored in ``jobs.error`` and in the error list of a segment."""

    code: str
    message: str
    #: what the client can do about it
    advice: str | None = None
    stage: str | None = None
    stack: str | None = None
    worker: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the non-empty fields."""
        return {name: value for name in self.__dataclass_fields__ if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class Job:
    """One row of ``jobs``."""

    id: str
    tenant: str
    run: int
    state: JobState
    pipeline: str
    spec_version: int
    params: Mapping[str, Any]
    lane: str
    size_class: str
    priority: Priority
    metadata: Mapping[str, Any]
    input: InputRef
    segments_total: int
    segments_left: int
    progress: float
    stage: str | None
    attempts: int
    media: Mapping[str, Any] | None
    summary: Mapping[str, Any] | None
    warnings: Sequence[Mapping[str, Any]]
    error: Mapping[str, Any] | None
    timings: Mapping[str, float]
    models: Sequence[Mapping[str, Any]]
    frames: int
    cost_seconds: float
    created_at: datetime
    updated_at: datetime
    run_after: datetime | None
    expires_at: datetime | None
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    allow_partial: bool
    missing_ranges: Sequence[Mapping[str, Any]]
    artifacts: Sequence[Mapping[str, Any]]
    webhook_url: str | None
    batch_id: str | None
    error_fingerprint: str | None
    #: runs in a row that ended dead or failed with this very error
    same_error_runs: int
    discarded_at: datetime | None
    discarded_by: str | None
    input_deleted_at: datetime | None
    results_deleted_at: datetime | None
    pins: Mapping[str, Mapping[str, str]]

    @property
    def terminal(self) -> bool:
        """Whether this run has ended."""
        return self.state in TERMINAL_STATES


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """One infer segment as the plan cuts it: a half-open range of presentation timestamps, or the whole input."""

    start_pts: int | None = None
    end_pts: int | None = None
    #: sampled frames it will report
    frames: int = 1
    cost_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class ClaimedSegment:
    """A segment in a worker's hand, with what it needs of its job (read at the claim, not locked)."""

    id: str
    job_id: str
    run: int
    index: int
    kind: SegmentKind
    tenant: str
    pipeline: str
    spec_version: int
    lane: str
    size_class: str
    params: Mapping[str, Any]
    batch_key: str
    input: InputRef
    range: SegmentPlan
    solo: bool
    #: charged failures so far, and how many end it
    attempts: int
    max_attempts: int
    #: uncharged infrastructure faults so far, and since when
    holdups: int
    held_up_since: datetime | None
    #: infer segments of this run (1: the segment's own summary ends the job, no merge)
    segments_total: int
    media: Mapping[str, Any] | None
    #: models it runs with, see ``NewJob``; like segments have the same
    pins: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to write the outcome of the segments that one claim statement took."""

    id: str
    worker_id: str
    segments: tuple[ClaimedSegment, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """Result rows of one segment: gzip-compressed JSON lines, in the row when small, else an object."""

    count: int
    size_bytes: int
    sha256: str
    inline: bytes | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """The segment was run to its end."""

    segment_id: str
    rows: Rows | None = None
    #: required for a merge segment and for the only infer segment of a run
    summary: Mapping[str, Any] | None = None
    warnings: Sequence[Mapping[str, Any]] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    models: Sequence[Mapping[str, Any]] = ()
    input_sha256: str | None = None
    artifacts: Sequence[Artifact] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The input's or the request's fault: the job ends ``failed``."""

    segment_id: str
    fault: Fault


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after a delay; a charged one that reaches ``max_attempts`` ends the job ``dead``."""

    segment_id: str
    fault: Fault
    delay_seconds: float
    charged: bool
    solo: bool = False


@dataclass(frozen=True, slots=True)
class Bury:
    """Give up: the job ends ``dead`` at once (infrastructure faults past their limit)."""

    segment_id: str
    fault: Fault


@dataclass(frozen=True, slots=True)
class GiveBack:
    """The worker stops; back to ``ready``, nothing charged."""

    segment_id: str


Outcome = Done | Failed | Retry | Bury | GiveBack
