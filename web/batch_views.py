"""Batches in answers: their documents, their pages, their results as lines, and waiting for their end."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import time
from collections.abc import Iterator, Mapping

from flask import Response, request

from storage.batches.rows import Batch, Item, Place
from storage.batches.store import BatchStore
from storage.errors import BatchNotFound
from web.answers import answer
from web.batch_documents import ItemPage, batch_document, item_document, result_of
from web.context import base_url, caller, services
from web.errors import Problem
from web.incoming import known_id
from web.queries import ItemsQuery
from web.services import Services

#: rejected items that a document tells of
ERRORS_TOLD = 20
#: items read at a time for a download
RESULTS_PAGE = 500
RETRY_AFTER_SECONDS = 2


def own_batch(batch_id: str) -> Batch:
    """Return the caller's batch. Raises: BatchNotFound, also for another tenant's."""
    return services().batches.get(known_id(batch_id, BatchNotFound), caller().tenant)


def answer_batch(batch_id: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with the document of a batch as it stands. Raises: BatchNotFound."""
    store = services().batches
    found = store.counted(batch_id, caller().tenant)
    errors = store.rejected(batch_id, ERRORS_TOLD) if found.counts.rejected else []
    document = batch_document(found, errors, base_url())
    extra = {"Cache-Control": "private, no-cache", **(headers or {})}
    if not found.batch.ended:
        extra["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return answer(document, status, extra)


def wait_for_end(batch: Batch, seconds: float) -> None:
    """Return when the batch has ended, or the time is over; at once where all seats are taken."""
    found = services()
    seat = found.waiting.sit() if seconds > 0 and not batch.ended else None
    if seat is None:
        return
    try:
        _watch(found, batch, time.monotonic() + seconds)
    finally:
        seat.leave()


def _watch(found: Services, batch: Batch, deadline: float) -> None:
    while not batch.ended and not found.waiting.closing and (left := deadline - time.monotonic()) > 0:
        found.hints.wait(batch.id, min(left, found.settings.recheck_seconds))
        batch = found.batches.get(batch.id, batch.tenant)


def item_page(batch: Batch, query: ItemsQuery) -> ItemPage:
    """Return one page of items. Raises: Problem with code cursor.invalid."""
    after = place_in(query.cursor) if query.cursor else Place()
    found = services().batches.items(batch, after=after, limit=query.limit + 1, state=query.state)
    shown = found[: query.limit]
    cursor = cursor_of(shown[-1]) if len(found) > query.limit else None
    return ItemPage(items=[item_document(item) for item in shown], next_cursor=cursor)


def result_lines(batch: Batch) -> Iterator[str]:
    """Return a line of JSON per item, in order; a page is in memory at a time, as it stands when it is read."""
    return _result_lines(services().batches, batch, base_url())


def _result_lines(store: BatchStore, batch: Batch, base: str) -> Iterator[str]:
    after = Place()
    while found := store.items(batch, after=after, limit=RESULTS_PAGE):
        for item in found:
            yield json.dumps(result_of(item, base), separators=(",", ":"), ensure_ascii=False) + "\n"
        after = Place(found[-1].index, found[-1].part)


def results_etag(batch: Batch) -> str:
    """Return a weak ETag of the results: another one as soon as an item or a job has changed."""
    text = f"{batch.id} {services().batches.version(batch)}"
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:24]}"'


def cursor_of(item: Item) -> str:
    """Return the place behind an item as the opaque text clients carry."""
    return base64.urlsafe_b64encode(f"{item.index}.{item.part}".encode()).decode().rstrip("=")


def place_in(cursor: str) -> Place:
    """Read a cursor. Raises: Problem with code cursor.invalid."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        index, part = (int(number) for number in text.split("."))
    except (ValueError, binascii.Error):
        raise Problem("cursor.invalid", "use next_cursor as it was given") from None
    if not (0 <= index < 2**31 and 0 <= part < 2**31):
        raise Problem("cursor.invalid", "use next_cursor as it was given")
    return Place(index, part)


def same_results(etag: str) -> bool:
    """Whether the client has these results already."""
    return request.if_none_match.contains_weak(etag.removeprefix('W/"').removesuffix('"'))
