"""Receiving a batch: its head, then its items chunk by chunk, each chunk committed before the next one is read.

Whatever breaks off half-way stays where it is: the same request with the same idempotency key goes on behind it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from storage.batches.rows import Batch, NewBatch, NewItem
from storage.errors import BatchFull
from storage.ids import new_id
from web.batch_items import ItemReader
from web.batch_orders import BatchHead, BatchOrder, read_order
from web.errors import Problem
from web.incoming import parse
from web.manifest import Line, chunks
from web.services import Services
from web.submit import Terms, check_order

#: lines of one transaction
CHUNK = 1000

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Received:
    """A batch, and whether this request made it."""

    batch: Batch
    fresh: bool


def receive_lines(services: Services, terms: Terms, lines: Iterator[Line]) -> Received:
    """Make a batch of a manifest whose first line may be its head.

    Raises: Problem, ParamsInvalid, IdempotencyConflict, BatchFull, DatabaseUnavailable.
    """
    first = next(lines, None)
    head = None if first is None else _head_in(first)
    rest = lines if first is None or head is not None else itertools.chain([first], lines)
    given = head or BatchHead.model_validate({})
    reader = _reader(services, terms, given)
    return _receive(services, terms, given, (reader.read(chunk) for chunk in chunks(rest, CHUNK)))


def receive_order(services: Services, terms: Terms, order: BatchOrder) -> Received:
    """Make a batch of one JSON document. Raises: as ``receive_lines``."""
    reader = _reader(services, terms, order)
    return _receive(services, terms, order, (reader.read_members(chunk) for chunk in chunks(order.items, CHUNK)))


def add_lines(services: Services, terms: Terms, batch: Batch, lines: Iterable[Line]) -> None:
    """Add the lines to an open batch. Raises: Problem, StateConflict, BatchFull, DatabaseUnavailable."""
    reader = ItemReader(services, terms.caller, batch.defaults)
    for chunk in chunks(lines, CHUNK):
        services.batches.append(batch.id, batch.tenant, reader.read(chunk))


def _receive(services: Services, terms: Terms, head: BatchHead, items: Iterator[list[NewItem]]) -> Received:
    first = next(items, None)
    if first is None and not head.open:
        raise Problem("request.invalid", "see faults", faults=[{"path": "/items", "message": "there are no items"}])
    batch, fresh = services.batches.create(_new_batch(services, terms, head))
    count = 0
    for chunk in itertools.chain([first] if first else [], items):
        try:
            services.batches.put(batch.id, batch.tenant, chunk, first=count)
        except BatchFull as error:
            advice = "close this batch and send the rest as another one, or cancel it"
            raise Problem("batch.full", str(error), advice=advice, batch_id=batch.id) from error
        count += len(chunk)
    if not head.open:
        batch = services.batches.close(batch.id, batch.tenant, lines=count)
    return Received(batch, fresh)


def _head_in(line: Line) -> BatchHead | None:
    """The head that a first line is, None when it is an item (or nothing at all: then it is refused as one)."""
    try:
        value: Any = parse(line.text or b"")
    except ValueError:
        return None
    if not isinstance(value, dict) or set(value) != {"batch"}:
        return None
    return read_order(value["batch"], BatchHead, at="/batch")


def _reader(services: Services, terms: Terms, head: BatchHead) -> ItemReader:
    """What reads the items; wrong defaults are told once, not of each item. Raises: Problem, ParamsInvalid."""
    if head.defaults.pipeline is not None:
        check_order(services, terms.caller, head.defaults)
    return ItemReader(services, terms.caller, head.defaults.members())


def _new_batch(services: Services, terms: Terms, head: BatchHead) -> NewBatch:
    return NewBatch(
        id=new_id(),
        tenant=terms.caller.tenant,
        fingerprint=head.fingerprint,
        name=head.name,
        idempotency_key=terms.idempotency_key,
        defaults=head.defaults.members(),
        max_queue=head.max_queue,
        items_max=services.settings.batch_items_max,
    )
