"""The documents of a job's timeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from storage.job import JobState
from web.documents import Document
from web.queries import Query

EVENTS_MAX = 1000


class HistoryQuery(Query):
    """Of GET /v1/jobs/<id>/history."""

    cursor: str | None = Field(None, max_length=20)
    limit: int = Field(200, ge=1, le=EVENTS_MAX)


class EventDocument(Document):
    """One thing that happened."""

    id: str = Field(description="Rises; given as cursor it asks for what came after this event.")
    run: int = Field(description="The run it belongs to; for what a worker did, the run in which it took the segment.")
    kind: str = Field(description="claimed, done, retried, lost, refused, canceled, ...", examples=["claimed"])
    meaning: str = Field(description="The kind in a sentence.")
    at: datetime
    segment: int | None = Field(description="Index of the segment it happened to.")
    data: Mapping[str, Any] = Field(description="What else is known of it.")
    segment_id: str | None = Field(description="Only with scope operate.")
    claim_id: str | None = Field(description="Only with scope operate.")
    worker_id: str | None = Field(description="Only with scope operate.")


class HistoryDocument(Document):
    """What happened to a job, oldest first."""

    job_id: str
    run: int = Field(description="The run it is at now.")
    state: JobState
    events: Sequence[EventDocument]
    next_cursor: str | None = Field(description="Where to go on; null when nothing came after these yet.")
