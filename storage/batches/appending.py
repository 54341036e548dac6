"""Items on their way into a batch: a chunk of lines in one short transaction, each line once however often it comes.

Everyone who adds items holds the batch's row, so indexes have no gaps and keys are told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection, Row

from storage.batches.rows import Added, BatchState, ItemState, NewItem
from storage.errors import BatchFull, BatchNotFound, IdempotencyConflict, StateConflict
from storage.ids import is_id
from storage.jsonb import dump

_LOCK = text("""
    SELECT id::text AS id, tenant, state, next_index, items_total, items_max FROM batches
    WHERE id = CAST(:id AS uuid) AND tenant = :tenant FOR NO KEY UPDATE
""")

_DIGESTS = text("""
    SELECT index AS place, digest FROM batch_items
    WHERE batch_id = CAST(:id AS uuid) AND part = 0 AND index >= :first AND index < :end
""")

_KEYS = text("""
    SELECT key, index AS place, digest, state FROM batch_items
    WHERE batch_id = CAST(:id AS uuid) AND key = ANY(CAST(:keys AS text[]))
""")

_INSERT = text("""
    INSERT INTO batch_items (batch_id, index, part, key, state, digest, item, error)
    SELECT CAST(:id AS uuid), g.index, g.part, g.key, g.state, g.digest, g.item, g.error
    FROM jsonb_to_recordset(CAST(:items AS jsonb))
        AS g (index int, part int, key text, state text, digest text, item jsonb, error jsonb)
""")

# What a batch waits to take must not expire meanwhile, for a week.
_KEEP_UPLOADS = text("""
    WITH named AS MATERIALIZED (
        SELECT id FROM uploads WHERE id = ANY(CAST(:ids AS uuid[])) AND tenant = :tenant AND state = 'complete'
        ORDER BY id FOR UPDATE
    )
    UPDATE uploads u SET expires_at = greatest(u.expires_at, clock_timestamp() + interval '7 days')
    FROM named WHERE u.id = named.id
""")

# A refused item that comes again in another form takes its own place.
_CORRECT = text("""
    UPDATE batch_items i SET state = g.state, digest = g.digest, item = g.item, error = g.error
    FROM jsonb_to_recordset(CAST(:items AS jsonb)) AS g (key text, state text, digest text, item jsonb, error jsonb)
    WHERE i.batch_id = CAST(:id AS uuid) AND i.key = g.key AND i.state = 'rejected'
""")

_COUNT = text("""
    UPDATE batches SET next_index = next_index + :lines, items_total = items_total + :total WHERE id = CAST(:id AS uuid)
""")


def append(connection: Connection, batch_id: str, tenant: str, items: Sequence[NewItem]) -> Added:
    """Add items behind the last one. One whose key is there already, word for word, changes nothing.

    Another line under a known key is refused, unless the item there was refused: then it takes its place.
    Raises: BatchNotFound, StateConflict (not open), BatchFull.
    """
    batch = lock_open(connection, batch_id, tenant)
    known = known_keys(connection, batch_id, items)
    fresh: list[NewItem] = []
    corrected: list[NewItem] = []
    for item in items:
        there = known.get(item.key) if item.key is not None else None
        if there is None:
            fresh.append(item)
        elif there.digest != item.digest and there.state == ItemState.REJECTED:
            corrected.append(item)
        elif there.digest != item.digest:
            fresh.append(duplicate(item, there.place))
    if fresh or corrected:
        _require_open(batch)
    _correct(connection, batch, corrected)
    _insert_lines(connection, batch, fresh)
    return Added(len(fresh) + len(corrected), len(items) - len(fresh) - len(corrected))


def put(connection: Connection, batch_id: str, tenant: str, items: Sequence[NewItem], *, first: int) -> Added:
    """Put the lines of a manifest where they belong, ``first`` being the index of the first one.

    Lines that are there already are compared; so a manifest may be sent again after any break.
    Raises: BatchNotFound, IdempotencyConflict (another manifest), StateConflict (canceled), BatchFull.
    """
    batch = lock_open(connection, batch_id, tenant)
    span = {"id": batch_id, "first": first, "end": first + len(items)}
    digests = {row.place: row.digest for row in connection.execute(_DIGESTS, span)}
    for place, item in enumerate(items, first):
        if digests.get(place, item.digest) != item.digest:
            raise IdempotencyConflict(f"item {place} differs from the one that came with this key before")
    fresh = [item for place, item in enumerate(items, first) if place not in digests]
    if fresh:
        if batch.state in {BatchState.RUNNING, BatchState.FINISHED}:
            raise IdempotencyConflict(f"the manifest that came with this key before ended after {batch.next_index}")
        _require_open(batch)
    known = known_keys(connection, batch_id, fresh)
    checked = [
        duplicate(item, known[item.key].place) if item.key is not None and item.key in known else item for item in fresh
    ]
    _insert_lines(connection, batch, checked)
    return Added(len(fresh), len(items) - len(fresh))


def lock_open(connection: Connection, batch_id: str, tenant: str) -> Row[Any]:
    """Lock a batch against everyone else who adds items, or cancels it. Raises: BatchNotFound."""
    row = None
    if is_id(batch_id):
        row = connection.execute(_LOCK, {"id": batch_id, "tenant": tenant}).one_or_none()
    if row is None:
        raise BatchNotFound(f"no batch {batch_id}")
    return row


def known_keys(connection: Connection, batch_id: str, items: Sequence[NewItem]) -> Mapping[str, Row[Any]]:
    """Return the items that have these keys already; the caller has locked the batch."""
    keys = [item.key for item in items if item.key is not None]
    if not keys:
        return {}
    return {row.key: row for row in connection.execute(_KEYS, {"id": batch_id, "keys": keys})}


def duplicate(item: NewItem, of: int) -> NewItem:
    """Return the item refused for its key; what it was called is kept for the message alone."""
    error = {"code": "item.duplicate", "message": f"the key {item.key!r} is that of item {of}"}
    return replace(item, key=None, record={"key": item.key}, error=error | ({"line": item.line} if item.line else {}))


def insert_items(connection: Connection, batch_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows with index, part and the fields of ``row_of``; the caller has locked the batch."""
    if rows:
        connection.execute(_INSERT, {"id": batch_id, "items": dump(rows)})


def count_items(connection: Connection, batch_id: str, *, lines: int = 0, total: int = 0) -> None:
    """Move the counters of a batch that the caller has locked."""
    connection.execute(_COUNT, {"id": batch_id, "lines": lines, "total": total})


def row_of(item: NewItem) -> dict[str, Any]:
    """Return what the row of a new item holds."""
    record = dict(item.record) if item.error is None else {"key": item.record["key"]} if "key" in item.record else {}
    return {"key": item.key, "state": item.state.value, "digest": item.digest, "item": record, "error": item.error}


def refuse_twins(items: Sequence[NewItem], first: int) -> list[NewItem]:
    """Refuse those whose key an earlier item of the same chunk has; ``first`` is the index of the first."""
    seen: dict[str, int] = {}
    checked: list[NewItem] = []
    for place, item in enumerate(items, first):
        of = seen.setdefault(item.key, place) if item.key is not None else place
        checked.append(item if of == place else duplicate(item, of))
    return checked


def _insert_lines(connection: Connection, batch: Row[Any], items: Sequence[NewItem]) -> None:
    if not items:
        return
    if batch.items_total + len(items) > batch.items_max:
        raise BatchFull(f"the batch has {batch.items_total} items and may have {batch.items_max}")
    checked = refuse_twins(items, batch.next_index)
    rows = [{"index": place, "part": 0, **row_of(item)} for place, item in enumerate(checked, batch.next_index)]
    insert_items(connection, batch.id, rows)
    _keep_uploads(connection, batch.tenant, checked)
    count_items(connection, batch.id, lines=len(rows), total=len(rows))


def _correct(connection: Connection, batch: Row[Any], items: Sequence[NewItem]) -> None:
    if not items:
        return
    # of two corrections in one chunk the last one counts
    rows = {item.key: row_of(item) for item in items}
    connection.execute(_CORRECT, {"id": batch.id, "items": dump(list(rows.values()))})
    _keep_uploads(connection, batch.tenant, items)


def _keep_uploads(connection: Connection, tenant: str, items: Sequence[NewItem]) -> None:
    ids = [item.record["upload_id"] for item in items if item.error is None and "upload_id" in item.record]
    if ids:
        connection.execute(_KEEP_UPLOADS, {"ids": ids, "tenant": tenant})


def _require_open(batch: Row[Any]) -> None:
    if batch.state != BatchState.OPEN:
        raise StateConflict(f"the batch is {batch.state}; only an open one takes items")
