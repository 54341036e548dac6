"""The words of a batch: what one row of ``batches`` or ``batch_items`` says. Plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from storage.job import JobState


class BatchState(StrEnum):
    """Where a batch stands."""

    #: items may still come; those that came are in the queue already -> running | canceled
    OPEN = "open"
    #: the manifest is closed, not all jobs have ended -> finished | canceled
    RUNNING = "running"
    #: every item was refused or is a job that had ended -> running, by replaying what failed
    FINISHED = "finished"
    #: the client said so; items that were no jobs yet never become any
    CANCELED = "canceled"


class ItemState(StrEnum):
    """Where an item stands until it is a job; from then on the job's state tells."""

    #: will become a job -> made | rejected
    WAITING = "waiting"
    #: a prefix whose objects are being listed, page by page -> expanded | rejected
    EXPANDING = "expanding"
    #: all objects of the prefix are items of their own; no item itself any more
    EXPANDED = "expanded"
    #: became a job
    MADE = "made"
    #: cannot become one; its error says why
    REJECTED = "rejected"


#: states of jobs that count against ``max_queue`` and keep a batch from being finished
LIVE_STATES = (JobState.UPLOADING, JobState.QUEUED, JobState.RUNNING)
#: states an item may be listed by
LISTED_STATES = (ItemState.WAITING.value, ItemState.REJECTED.value, *(state.value for state in JobState))


@dataclass(frozen=True, slots=True)
class NewBatch:
    """Everything ``BatchStore.create`` needs."""

    id: str
    tenant: str
    #: equal for two heads that mean the same batch
    fingerprint: str
    name: str | None = None
    idempotency_key: str | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    max_queue: int | None = None
    items_max: int = 100_000


@dataclass(frozen=True, slots=True)
class NewItem:
    """One line of a manifest, checked: a record that needs nothing more to become a job, or why it cannot."""

    #: equal for two lines that say the same
    digest: str
    key: str | None
    #: what ``storage.batches.making`` makes a job of
    record: Mapping[str, Any] = field(default_factory=dict)
    #: code, message and line; None: it is good
    error: Mapping[str, Any] | None = None
    #: its line in the request that brought it, from 1
    line: int | None = None

    @property
    def state(self) -> ItemState:
        """Where it begins."""
        if self.error is not None:
            return ItemState.REJECTED
        return ItemState.EXPANDING if "prefix" in self.record else ItemState.WAITING


@dataclass(frozen=True, slots=True)
class Batch:
    """One row of ``batches``."""

    id: str
    tenant: str
    name: str | None
    state: BatchState
    fingerprint: str
    defaults: Mapping[str, Any]
    max_queue: int | None
    #: index of the next line
    next_index: int
    canceling: bool
    #: the last order to replay what failed: states, params by pipeline, cursor, counts, refusals
    replay: Mapping[str, Any] | None
    created_at: datetime
    closed_at: datetime | None
    finished_at: datetime | None
    items_total: int

    @property
    def ended(self) -> bool:
        """Whether it moves no more by itself."""
        return self.state in {BatchState.FINISHED, BatchState.CANCELED} and not self.canceling


@dataclass(frozen=True, slots=True)
class Counts:
    """Items of a batch by state, all counted at one instant."""

    total: int
    waiting: int
    rejected: int
    by_state: Mapping[str, int]

    def of(self, state: JobState) -> int:
        """Items whose job is in this state."""
        return self.by_state.get(state.value, 0)

    @property
    def unfinished(self) -> int:
        """Items that have not come to their end."""
        return self.waiting + sum(self.of(state) for state in LIVE_STATES)


@dataclass(frozen=True, slots=True)
class Counted:
    """A batch and how its items stand."""

    batch: Batch
    counts: Counts


@dataclass(frozen=True, slots=True)
class Item:
    """One item as it is told: its own state, or that of its job."""

    index: int
    part: int
    key: str | None
    #: waiting, rejected, canceled (dropped with its batch), erased, or the state of its job
    state: str
    job_id: str | None
    run: int | None
    summary: Mapping[str, Any] | None
    error: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where an item stands in its batch; pages go on behind it."""

    index: int = -1
    part: int = 0


@dataclass(frozen=True, slots=True)
class Added:
    """What came of appending items."""

    #: new rows
    added: int
    #: items that were there already, word for word
    known: int


@dataclass(frozen=True, slots=True)
class BatchPage:
    """Batches, newest first, and the cursor for the next page."""

    batches: Sequence[Counted]
    next_cursor: str | None
