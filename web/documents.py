"""The documents of the API: what goes out, one class each; OpenAPI is generated from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from storage.job import JobState, Priority


class Document(BaseModel):
    """Base of all: made by us, so nothing unknown may slip in."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ProblemDocument(BaseModel):
    """An error, as RFC 9457 has it; act on ``code``, show ``detail``."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="urn:framequeue:error:<code>")
    title: str
    status: int
    code: str = Field(description="Stable word noun.fault, for example media.unsupported.")
    detail: str | None = None
    advice: str | None = Field(None, description="What you can do about it.")
    faults: list[dict[str, str]] | None = Field(None, description="Every fault of the input: path and message.")
    instance: str
    request_id: str


class InputFacts(Document):
    """What is known of a job's input."""

    filename: str | None
    content_type: str | None = Field(description="As the client declared it; nothing is decided by it.")
    size_bytes: int | None
    sha256: str | None
    source_url: str | None
    deleted_at: datetime | None = Field(None, description="When it went by retention; no replay is possible then.")


class JobTimes(Document):
    """When what happened, UTC."""

    created_at: datetime
    updated_at: datetime
    run_after: datetime | None
    expires_at: datetime | None
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None


class SegmentCount(Document):
    """How the run was cut."""

    total: int
    left: int


class MissingRange(Document):
    """A part of the input that has no result; null where it is open, or its time is not known."""

    start_seconds: float | None
    end_seconds: float | None
    code: str | None = Field(description="Why it could not be run.")
    segment: int = Field(description="Its place among the segments.")


class JobUrls(Document):
    """Where to go on."""

    self: str
    events: str
    frames: str
    result: str
    artifacts: str
    cancel: str
    replay: str


class JobDocument(Document):
    """A job: what you asked for, where it stands, and what came of it."""

    id: str
    run: int = Field(description="1, and one more with each replay.")
    state: JobState
    terminal: bool = Field(description="Whether this run has ended; only a replay changes it then.")
    pipeline: str
    params: Mapping[str, Any] = Field(description="With every default filled in.")
    priority: Priority
    metadata: Mapping[str, Any]
    stage: str | None = Field(description="What is being done just now.")
    progress: float = Field(ge=0, le=1, description="Never falls within a run.")
    queue_position: int | None = Field(description="Jobs before this one in its lane; estimated past 1,000.")
    eta_seconds: float | None = Field(description="A guess at the time until it ends.")
    waiting_for: str | None = Field(description="input, time, resume, worker or turn.")
    attempts: int = Field(description="Charged failures of this run.")
    segments: SegmentCount
    frames: int = Field(description="Frames reported so far, those that carry another's result among them.")
    times: JobTimes
    timings: Mapping[str, float] = Field(description="Seconds per stage of the work.")
    input: InputFacts
    media: Mapping[str, Any] | None = Field(description="What was found inside the input.")
    models: Sequence[Mapping[str, Any]] = Field(
        description="Exact versions of the models it runs with: those active when it was submitted."
    )
    summary: Mapping[str, Any] | None = Field(description="The result in short; see the pipeline's summary_fields.")
    warnings: Sequence[Mapping[str, Any]]
    error: Mapping[str, Any] | None = Field(description="code, message and advice, when it did not succeed.")
    same_error_runs: int = Field(0, description="Runs in a row that ended with this very error; 3 are a loop.")
    results_deleted_at: datetime | None = Field(None, description="When the rows went by retention.")
    allow_partial: bool
    missing_ranges: Sequence[MissingRange] = Field(description="What the result lacks, of a job that allows it.")
    batch_id: str | None
    webhook_url: str | None
    urls: JobUrls


class JobList(Document):
    """One page of jobs, newest first."""

    jobs: Sequence[JobDocument]
    next_cursor: str | None = Field(description="Give it as cursor to get the next page; null at the end.")


class FramePage(Document):
    """Rows of sampled frames in order of time."""

    job_id: str
    run: int
    state: JobState
    complete: bool = Field(description="Whether all rows of this run are there.")
    frames: Sequence[Mapping[str, Any]] = Field(
        description="index (among all frames of the source, from 0), pts and pts_seconds (as the container counts), "
        "sampler, and what the pipeline found; under the adaptive sampler also carried_from: null, or the index of the "
        "earlier frame whose result stands here."
    )
    next_cursor: str | None = Field(description="Where to go on; while the job runs, later rows appear behind it.")


class PipelineDocument(Document):
    """A pipeline and the JSON Schema of its parameters."""

    name: str
    description: str
    accepts: Sequence[str]
    lane: str
    spec_version: int
    params_schema: Mapping[str, Any]
    summary_fields: Mapping[str, str]
    models: Mapping[str, Sequence[str]] = Field(
        description="Parameters that name a model, each with the tasks such a model may have."
    )
    max_runtime_seconds: float | None = Field(description="Longest a worker may be at one claim before it is ended.")
    live_workers: int = Field(description="Workers of its lane that are alive just now.")


class PipelineList(Document):
    """All pipelines, by name."""

    pipelines: Sequence[PipelineDocument]


class LaneDocument(Document):
    """Segments of one lane and size class."""

    lane: str
    size_class: str
    waiting: int
    ready: int
    claimed: int
    oldest_ready_seconds: float | None
    cost_ahead_seconds: float
    live_workers: int


class PauseDocument(Document):
    """Something that is paused."""

    kind: str
    name: str
    since: str | None = None
    by: str | None = None


class QueueDocument(Document):
    """How full the queue is."""

    lanes: Sequence[LaneDocument]
    jobs: Mapping[str, int] = Field(description="Jobs per state; estimated past 100,000.")
    paused: Sequence[PauseDocument]


class WorkerDocument(Document):
    """One worker process."""

    id: str
    host: str
    pid: int
    state: str = Field(description="live, draining, lost or stopped.")
    lanes: Sequence[str]
    size_classes: Sequence[str]
    pipelines: Sequence[str]
    device: Mapping[str, Any]
    claimed_segments: int
    started_at: datetime
    heartbeat_at: datetime


class WorkerList(Document):
    """Workers alive, and those gone lately."""

    workers: Sequence[WorkerDocument]


class UploadedPart(Document):
    """A part that arrived."""

    number: int
    size_bytes: int
    etag: str


class UploadDocument(Document):
    """A resumable upload: send every part to its URL, then complete it."""

    id: str
    state: str = Field(description="open, complete, taken (by a job) or expired.")
    size_bytes: int
    part_size_bytes: int = Field(description="Size of every part but the last.")
    part_count: int
    parts: Sequence[UploadedPart] = Field(description="Parts that arrived; the others are still to be sent.")
    filename: str | None
    content_type: str | None
    created_at: datetime
    expires_at: datetime


class PartUrl(Document):
    """Where to PUT one part, with exactly this many bytes and Content-Type application/octet-stream."""

    number: int
    size_bytes: int
    url: str


class PartUrls(Document):
    """Signed URLs of the parts that were asked for."""

    urls: Sequence[PartUrl]
    expires_in_seconds: int


class Readiness(Document):
    """Whether this process can serve, part by part: ok, degraded or down."""

    status: str
    parts: Mapping[str, str]


class Liveness(Document):
    """This process answers."""

    status: str


class Changed(Document):
    """Whether the call changed anything."""

    changed: bool
