"""What the calls under ``/v1/dead`` take and answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from storage.dead.filter import DeadFilter
from storage.dead.letters import DeadGroup, DeadJob
from storage.dead.replay_orders import ReplayOrder
from storage.ids import is_id
from web.documents import Document, JobUrls
from web.gaps import span_seconds
from web.queries import PAGE_MAX, Query
from web.shapes import job_urls, public_fault

GROUPS_MAX = 1000
IDS_MAX = 10_000
_READ_FIRST = ("code", "message", "advice", "stage", "worker", "host", "stack")


class DeadQuery(Query):
    """Which dead letters; nothing given means all."""

    fingerprint: str | None = Field(None, max_length=64, description="Of one group.")
    code: str | None = Field(None, max_length=100, description="With this error code.")
    pipeline: str | None = Field(None, max_length=100)
    tenant: str | None = Field(None, max_length=200, description="Another tenant's need scope operate.")
    since: AwareDatetime | None = Field(None, description="Dead at or after this instant, ISO 8601 with time zone.")
    until: AwareDatetime | None = Field(None, description="Dead before this instant.")

    def filter(self) -> DeadFilter:
        """Return what the storage narrows by, for whoever may see everything."""
        return DeadFilter(
            tenant=self.tenant,
            fingerprint=self.fingerprint,
            code=self.code,
            pipeline=self.pipeline,
            since=self.since,
            until=self.until,
        )


class DeadGroupsQuery(DeadQuery):
    """Of GET /v1/dead."""

    limit: int = Field(100, ge=1, le=GROUPS_MAX)


class DeadJobsQuery(DeadQuery):
    """Of GET /v1/dead/jobs."""

    cursor: str | None = Field(None, max_length=200)
    limit: int = Field(50, ge=1, le=PAGE_MAX)


class PageQuery(Query):
    """A page of a list."""

    cursor: str | None = Field(None, max_length=200)
    limit: int = Field(50, ge=1, le=PAGE_MAX)


class DeadSelection(BaseModel):
    """Which dead letters a change is meant for: their ids, or what narrows, or ``all``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    job_ids: list[str] | None = Field(None, min_length=1, max_length=IDS_MAX)
    fingerprint: str | None = Field(None, max_length=64, examples=["9f0c3b1a2d4e5f60"])
    code: str | None = Field(None, max_length=100)
    pipeline: str | None = Field(None, max_length=100)
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    all: Literal[True] | None = Field(None, description="Every one, on purpose.")
    tenant: str | None = Field(None, max_length=200, description="Besides the others; another's needs scope operate.")

    @field_validator("job_ids")
    @classmethod
    def _ids(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and not all(is_id(one) for one in value):
            raise ValueError("holds something that is no job id")
        return value

    @model_validator(mode="after")
    def _meant(self) -> DeadSelection:
        narrows = (self.fingerprint, self.code, self.pipeline, self.since, self.until)
        ways = (self.job_ids is not None, any(one is not None for one in narrows), self.all is not None)
        if sum(ways) != 1:
            raise ValueError("give either job_ids, or what narrows (fingerprint, code, ...), or all: true")
        return self

    def filter(self) -> DeadFilter:
        """Return what the storage narrows by, for whoever may change everything."""
        names = ("tenant", "job_ids", "fingerprint", "code", "pipeline", "since", "until")
        return DeadFilter(**{name: getattr(self, name) for name in names})


class DiscardOrder(BaseModel):
    """Which dead letters to take off the lists."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    filter: DeadSelection


class DeadReplayOrder(DiscardOrder):
    """Which dead letters to run again, and how."""

    params: dict[str, Any] | None = Field(
        None, description="New parameters (complete, not a patch) of every job; without them each keeps its own."
    )
    per_second: float = Field(5.0, ge=0.01, le=1000, description="Jobs at most that start again each second.")
    force: bool = Field(False, description="Also those whose last 3 runs all ended with the same error.")


class DeadGroupDocument(Document):
    """Dead letters that ended with one error."""

    fingerprint: str | None = Field(description="Equal for errors of one code, place and message, numbers aside.")
    code: str | None
    message: str | None = Field(description="Of its newest job.")
    jobs: int
    pipelines: Sequence[str]
    tenants: Sequence[str] | None = Field(description="Only with scope operate.")
    first_at: datetime
    last_at: datetime
    same_error_runs: int = Field(description="The most runs in a row that one of its jobs ended with this error.")
    example_job_ids: Sequence[str]


class DeadGroupList(Document):
    """Groups of dead letters, largest first."""

    groups: Sequence[DeadGroupDocument]
    groups_total: int
    total: int = Field(description="Dead letters in all groups, those that are not shown among them.")


class DeadSegmentDocument(Document):
    """The segment that ended its job; seconds are null where the input has no time, or it is not known yet."""

    index: int
    kind: str = Field(description="plan, infer or merge.")
    start_seconds: float | None
    end_seconds: float | None
    frames: int = Field(description="Frames it was to report.")
    attempts: int


class DeadInput(Document):
    """What there is of a dead letter's input."""

    state: str = Field(description="stored, deleted, remote (never fetched, a replay will) or missing.")
    filename: str | None
    size_bytes: int | None
    deleted_at: datetime | None


class DeadJobDocument(Document):
    """A dead letter: what broke, and whether it can run again."""

    id: str
    run: int
    tenant: str | None = Field(description="Only with scope operate.")
    pipeline: str
    params: Mapping[str, Any]
    fingerprint: str | None
    same_error_runs: int = Field(description="Runs in a row that ended with this error.")
    dead_at: datetime
    errors: Sequence[Mapping[str, Any]] = Field(
        description="The last five of the segment, newest last; worker, host and stack only with scope operate."
    )
    segment: DeadSegmentDocument | None
    input: DeadInput
    replayable: bool = Field(description="Whether an order without force replays it.")
    why_not: str | None = Field(description="input.gone, or replay.looping (then force helps).")
    urls: JobUrls


class DeadJobList(Document):
    """One page of dead letters, newest job first."""

    jobs: Sequence[DeadJobDocument]
    next_cursor: str | None


class ReplayOrderDocument(Document):
    """An order to replay dead letters; the dispatcher carries it out."""

    id: str
    state: str = Field(description="running, finished or canceled.")
    by: str = Field(description="Id of the key that gave it.")
    filter: Mapping[str, Any]
    params: Mapping[str, Any] | None
    force: bool
    per_second: float
    replayed: int
    skipped: int = Field(description="Left alone, for their last runs all ended with the same error.")
    refused: int = Field(description="Impossible: the input is gone, or the new parameters do not fit.")
    refusals: Sequence[Mapping[str, str]] = Field(description="The first 100 of both: job_id, code, message.")
    created_at: datetime
    finished_at: datetime | None


class ReplayOrderList(Document):
    """Orders, newest first."""

    replays: Sequence[ReplayOrderDocument]
    next_cursor: str | None


class Discarded(Document):
    """What a discard came to."""

    discarded: int


def group_document(group: DeadGroup, *, inside: bool) -> DeadGroupDocument:
    """Return the document of a group; ``inside``: for an operator."""
    fields = {name: getattr(group, name) for name in DeadGroup.__dataclass_fields__}
    return DeadGroupDocument(**(fields | {"tenants": group.tenants if inside else None}))


def dead_document(job: DeadJob, base_url: str, *, inside: bool) -> DeadJobDocument:
    """Return the document of a dead letter; ``inside``: for an operator."""
    return DeadJobDocument(
        id=job.id,
        run=job.run,
        tenant=job.tenant if inside else None,
        pipeline=job.pipeline,
        params=job.params,
        fingerprint=job.fingerprint,
        same_error_runs=job.same_error_runs,
        dead_at=job.finished_at,
        errors=[_error(error if inside else public_fault(error)) for error in job.errors],
        segment=_segment(job),
        input=DeadInput(
            state=job.input_state,
            filename=job.input_filename,
            size_bytes=job.input_size_bytes,
            deleted_at=job.input_deleted_at,
        ),
        replayable=job.refusal is None,
        why_not=job.refusal.code if job.refusal else None,
        urls=job_urls(base_url, job.id),
    )


def _error(fault: Mapping[str, Any]) -> dict[str, Any]:
    """The members in an order for reading: the database keeps none."""
    return {name: fault[name] for name in (*_READ_FIRST, *fault) if name in fault}


def _segment(job: DeadJob) -> DeadSegmentDocument | None:
    segment = job.segment
    if segment is None:
        return None
    # a plan has no range yet, a merge none at all
    ranged = segment.kind == "infer"
    start, end = span_seconds(job.media, segment.start_pts, segment.end_pts) if ranged else (None, None)
    return DeadSegmentDocument(
        index=segment.index,
        kind=segment.kind,
        start_seconds=start,
        end_seconds=end,
        frames=segment.frames,
        attempts=segment.attempts,
    )


def order_document(order: ReplayOrder) -> ReplayOrderDocument:
    """Return the document of an order."""
    names = ReplayOrderDocument.model_fields
    fields = {name: getattr(order, name) for name in names}
    return ReplayOrderDocument(**(fields | {"filter": order.filter.summary()}))
