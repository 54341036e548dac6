"""Query strings of the API, checked."""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from storage.batches.rows import LISTED_STATES
from storage.job import JobState
from storage.jobs import JobFilter

PAGE_MAX = 200
ITEMS_MAX = 1000
FRAMES_MAX = 10_000
METADATA_PREFIX = "metadata."


class Query(BaseModel):
    """Base of all: a misspelt parameter is a fault, not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class WaitQuery(Query):
    """Of GET /v1/jobs/<id>."""

    wait: float = Field(
        0.0, ge=0, description="Answer when the job has ended, or (with If-None-Match) changed; at most these seconds."
    )


class JobsQuery(Query):
    """Of GET /v1/jobs."""

    model_config = ConfigDict(extra="allow", frozen=True)

    state: str | None = Field(None, description="One state, or several with commas.")
    pipeline: str | None = Field(None, max_length=100)
    batch_id: str | None = Field(None, max_length=64, description="Jobs of one batch.")
    created_after: AwareDatetime | None = Field(None, description="ISO 8601 with time zone.")
    created_before: AwareDatetime | None = None
    cursor: str | None = Field(None, max_length=200)
    limit: int = Field(50, ge=1, le=PAGE_MAX)

    @field_validator("state")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        for state in (value or "").split(","):
            if state and state not in set(JobState):
                raise ValueError(f"must be of {', '.join(JobState)}")
        return value

    @model_validator(mode="after")
    def _only_metadata(self) -> JobsQuery:
        for name in self.model_extra or {}:
            if not name.startswith(METADATA_PREFIX) or name == METADATA_PREFIX:
                raise ValueError(f"unknown parameter {name[:50]!r}; metadata filters are called metadata.<name>")
        return self

    def filter(self) -> JobFilter:
        """Return what the storage narrows by."""
        extra: dict[str, Any] = self.model_extra or {}
        metadata = {name.removeprefix(METADATA_PREFIX): str(value) for name, value in extra.items()}
        states = [JobState(state) for state in self.state.split(",") if state] if self.state else None
        return JobFilter(
            states=states or None,
            pipeline=self.pipeline,
            batch_id=self.batch_id,
            created_after=self.created_after,
            created_before=self.created_before,
            metadata=metadata or None,
        )


class PageQuery(Query):
    """Of a plain listing."""

    cursor: str | None = Field(None, max_length=200)
    limit: int = Field(20, ge=1, le=100)


class ItemsQuery(Query):
    """Of GET /v1/batches/<id>/items."""

    state: str | None = Field(None, description="waiting, rejected, or the state of the job.")
    cursor: str | None = Field(None, max_length=200)
    limit: int = Field(200, ge=1, le=ITEMS_MAX)

    @field_validator("state")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and value not in LISTED_STATES:
            raise ValueError(f"must be one of {', '.join(LISTED_STATES)}")
        return value


class FramesQuery(Query):
    """Of GET /v1/jobs/<id>/frames."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    start: float | None = Field(None, alias="from", description="Rows from this time on, in seconds of the video.")
    end: float | None = Field(None, alias="to", description="Rows before this time, in seconds of the video.")
    cursor: str | None = Field(None, max_length=200)
    limit: int = Field(1000, ge=1, le=FRAMES_MAX)


class ResultQuery(Query):
    """Of GET /v1/jobs/<id>/result."""

    format: str = Field("json", max_length=20, description="json, jsonl or csv; coco or mot where rows hold objects.")
