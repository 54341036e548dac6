"""A job as it comes in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from storage.job import InputRef, JobState, Priority


@dataclass(frozen=True, slots=True)
class NewJob:
    """Everything ``JobStore.create`` needs; made by ``web.submit``."""

    id: str
    tenant: str
    pipeline: str
    spec_version: int
    params: Mapping[str, Any]
    #: hash of what must be equal for two segments to share a model batch
    batch_key: str
    lane: str
    size_class: str  # "short" (a still, a sensor file) or "long" (a video)
    input: InputRef
    fingerprint: str
    state: JobState = JobState.QUEUED  # or UPLOADING for url/object inputs
    priority: Priority = Priority.NORMAL
    metadata: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None
    run_after: datetime | None = None
    expires_at: datetime | None = None
    max_attempts: int = 3
    #: predicted seconds of work, for fair queueing and the estimate of waiting time
    cost_seconds: float = 1.0
    upload_id: str | None = None
    #: succeed with what could be had: segments that end dead or failed are named in ``missing_ranges``
    allow_partial: bool = False
    #: told of each terminal state, by the Standard Webhooks specification
    webhook_url: str | None = None
    #: the open batch it joins, and its unique name there
    batch_id: str | None = None
    item_key: str | None = None
    #: name of each model it uses -> {"version", "digest"} to run with; a name that is not here: as the worker has it
    pins: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
