"""The documents of batches, and how rows become them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from storage.batches.rows import Batch, BatchState, Counted, Counts, Item
from storage.job import JobState
from web.documents import Document
from web.shapes import public_fault


class BatchCounts(Document):
    """Items by state, counted at one instant."""

    total: int
    waiting: int = Field(description="Not in the queue yet; a prefix that is still being listed counts as one.")
    rejected: int
    uploading: int
    queued: int
    running: int
    succeeded: int
    failed: int
    dead: int
    canceled: int


class BatchTimes(Document):
    """When what happened, UTC."""

    created_at: datetime
    closed_at: datetime | None
    finished_at: datetime | None


class BatchUrls(Document):
    """Where to go on."""

    self: str
    items: str
    results: str
    jobs: str
    close: str
    cancel: str
    replay_failed: str


class ItemDocument(Document):
    """One item of a batch."""

    index: int = Field(description="Its place in the manifest, from 0.")
    part: int = Field(description="0; objects of a prefix share its index and are numbered from 1.")
    key: str | None
    state: str = Field(description="waiting, rejected, erased, or the state of its job.")
    job_id: str | None
    run: int | None
    error: Mapping[str, Any] | None = Field(description="Why it was rejected, or what ended its job.")


class ItemPage(Document):
    """Items in order."""

    items: Sequence[ItemDocument]
    next_cursor: str | None = Field(description="Give it as cursor to get the next page; null at the end.")


class BatchReplay(Document):
    """The last order to replay what failed."""

    state: str = Field(description="running, finished or canceled.")
    replayed: int
    refused: int
    refusals: Sequence[Mapping[str, Any]] = Field(description="The first of them: job_id, key, code, message.")


class BatchDocument(Document):
    """A batch: how far its items are, and what is wrong with those that were refused."""

    id: str
    name: str | None
    state: BatchState
    terminal: bool = Field(description="Whether it moves no more by itself; replay-failed starts it anew.")
    counts: BatchCounts
    progress: float = Field(ge=0, le=1, description="Share of the items that have come to an end.")
    defaults: Mapping[str, Any]
    max_queue: int | None
    times: BatchTimes
    errors: Sequence[ItemDocument] = Field(description="The first 20 rejected items.")
    replay: BatchReplay | None
    urls: BatchUrls


class BatchList(Document):
    """One page of batches, newest first."""

    batches: Sequence[BatchDocument]
    next_cursor: str | None = Field(description="Give it as cursor to get the next page; null at the end.")


def batch_document(found: Counted, errors: Sequence[Item], base_url: str) -> BatchDocument:
    """Return the document of a batch."""
    batch, counts = found.batch, found.counts
    return BatchDocument(
        id=batch.id,
        name=batch.name,
        state=batch.state,
        terminal=batch.state in {BatchState.FINISHED, BatchState.CANCELED},
        counts=_counts(counts),
        progress=progress(batch, counts),
        defaults=batch.defaults,
        max_queue=batch.max_queue,
        times=BatchTimes(created_at=batch.created_at, closed_at=batch.closed_at, finished_at=batch.finished_at),
        errors=[item_document(item) for item in errors],
        replay=_replay(batch.replay),
        urls=_urls(batch.id, base_url),
    )


def item_document(item: Item) -> ItemDocument:
    """Return the document of an item."""
    return ItemDocument(
        index=item.index,
        part=item.part,
        key=item.key,
        state=item.state,
        job_id=item.job_id,
        run=item.run,
        error=public_fault(item.error) if item.error else None,
    )


def result_of(item: Item, base_url: str) -> dict[str, Any]:
    """Return the line of an item in the results."""
    document = item_document(item).model_dump() | {"summary": item.summary}
    there = item.state == JobState.SUCCEEDED
    return document | {"result": f"{base_url}/v1/jobs/{item.job_id}/result" if there else None}


def progress(batch: Batch, counts: Counts) -> float:
    """Return the share of items that have come to an end; an open batch without items has not begun."""
    if not counts.total:
        return 0.0 if batch.state is BatchState.OPEN else 1.0
    return round(min(1.0, max(0.0, 1 - counts.unfinished / counts.total)), 6)


def _counts(counts: Counts) -> BatchCounts:
    by_state = {state.value: counts.of(state) for state in JobState}
    return BatchCounts(total=counts.total, waiting=counts.waiting, rejected=counts.rejected, **by_state)


def _replay(order: Mapping[str, Any] | None) -> BatchReplay | None:
    if order is None:
        return None
    return BatchReplay(**{name: order[name] for name in ("state", "replayed", "refused", "refusals")})


def _urls(batch_id: str, base_url: str) -> BatchUrls:
    own = f"{base_url}/v1/batches/{batch_id}"
    return BatchUrls(
        self=own,
        items=f"{own}/items",
        results=f"{own}/results",
        jobs=f"{base_url}/v1/jobs?batch_id={batch_id}",
        close=f"{own}/close",
        cancel=f"{own}/cancel",
        replay_failed=f"{own}/replay-failed",
    )
