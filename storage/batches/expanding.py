"""Prefixes of batches: each page of listed objects becomes items, and the cursor moves, in one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection, Row

from storage.batches.appending import count_items, duplicate, insert_items, known_keys, refuse_twins, row_of
from storage.batches.rows import ItemState, NewItem
from storage.database import Database
from storage.jsonb import dump

# One at a time of each batch, the first one.
_EXPANDING = text("""
    SELECT b.id::text AS batch_id, b.tenant, i.index AS place, i.key, i.item FROM batches b
    CROSS JOIN LATERAL (
        SELECT index, key, item FROM batch_items
        WHERE batch_id = b.id AND state = 'expanding' ORDER BY index LIMIT 1) AS i
    WHERE b.state IN ('open', 'running') ORDER BY b.id
""")

_LOCK = text("""
    SELECT items_total, items_max FROM batches
    WHERE id = CAST(:id AS uuid) AND state IN ('open', 'running') FOR NO KEY UPDATE
""")

# Whoever else has listed the same page comes too late here.
_MOVE = text("""
    UPDATE batch_items SET item = item || CAST(:progress AS jsonb)
    WHERE batch_id = CAST(:id AS uuid) AND index = :place AND part = 0 AND state = 'expanding'
        AND coalesce((item ->> 'parts')::int, 0) = :parts AND item ->> 'after' IS NOT DISTINCT FROM :after
""")

_END = text("""
    UPDATE batch_items SET state = :state, error = CAST(:error AS jsonb)
    WHERE batch_id = CAST(:id AS uuid) AND index = :place AND part = 0 AND state = 'expanding'
""")


@dataclass(frozen=True, slots=True)
class Expansion:
    """A prefix that is being listed."""

    batch_id: str
    tenant: str
    index: int
    key: str | None
    #: what every object's record is made from; ``prefix``: s3://bucket/prefix
    record: Mapping[str, Any]
    #: the object key listed last, and the number of items made so far
    after: str | None
    parts: int

    @property
    def bucket(self) -> str:
        """The bucket."""
        return str(self.record["prefix"]).removeprefix("s3://").partition("/")[0]

    @property
    def prefix(self) -> str:
        """What its keys begin with."""
        return str(self.record["prefix"]).removeprefix("s3://").partition("/")[2]


class BatchExpander:
    """Steps of the duty ``prefixes``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def expanding(self) -> Sequence[Expansion]:
        """Return the prefix that each batch is at."""
        with self._database.transaction() as connection:
            return [_expansion(row) for row in connection.execute(_EXPANDING)]

    def page(self, at: Expansion, keys: Sequence[str], *, last: bool) -> int:
        """Make the next listed keys items and move on; ``last``: there are no more. Return how many became items.

        Nothing changes when the batch is canceled, or another dispatcher has done this page.
        """
        with self._database.transaction() as connection:
            batch = connection.execute(_LOCK, {"id": at.batch_id}).one_or_none()
            if batch is None:
                return 0
            files = [key for key in keys if not key.endswith("/")]  # consoles make objects of folders
            fits = files[: max(0, batch.items_max - batch.items_total)]
            progress = {"after": keys[-1] if keys else at.after, "parts": at.parts + len(fits)}
            where = {"id": at.batch_id, "place": at.index, "parts": at.parts, "after": at.after}
            if not connection.execute(_MOVE, where | {"progress": dump(progress)}).rowcount:
                return 0
            _insert(connection, at, fits)
            if len(fits) < len(files):
                _end(
                    connection, at, "batch.full", f"a batch may have {batch.items_max} items; the first ones were taken"
                )
            elif last and at.parts + len(fits) == 0:
                _end(connection, at, "prefix.empty", f"nothing lies under {at.record['prefix']}")
            elif last:
                connection.execute(_END, _end_of(at, ItemState.EXPANDED, None))
                count_items(connection, at.batch_id, total=-1)
            return len(fits)

    def refuse(self, at: Expansion, code: str, message: str) -> None:
        """Give a prefix up; what was listed of it before stays."""
        with self._database.transaction() as connection:
            if connection.execute(_LOCK, {"id": at.batch_id}).one_or_none() is not None:
                _end(connection, at, code, message)


def _insert(connection: Connection, at: Expansion, keys: Sequence[str]) -> None:
    items = [_item_of(at, key) for key in keys]
    known = known_keys(connection, at.batch_id, items)
    checked = [duplicate(item, known[item.key].place) if item.key and item.key in known else item for item in items]
    first = at.parts + 1
    rows = [
        {"index": at.index, "part": part, **row_of(item)}
        for part, item in enumerate(refuse_twins(checked, at.index), first)
    ]
    insert_items(connection, at.batch_id, rows)
    count_items(connection, at.batch_id, total=len(rows))


def _item_of(at: Expansion, key: str) -> NewItem:
    """The item of one object; below a key of the prefix's own it is called by the rest of its path."""
    address = f"s3://{at.bucket}/{key}"
    name = address if at.key is None else f"{at.key}/{key.removeprefix(at.prefix)}"
    same = {field: value for field, value in at.record.items() if field not in {"prefix", "after", "parts"}}
    digest = hashlib.sha256(f"{at.record['fingerprint']} {address}".encode()).hexdigest()
    filename = "".join(char for char in key.rpartition("/")[2] if char.isprintable())[:255]
    record = same | {"source_url": address, "filename": filename or None, "fingerprint": digest}
    return NewItem(digest[:32], name, record)


def _end(connection: Connection, at: Expansion, code: str, message: str) -> None:
    connection.execute(_END, _end_of(at, ItemState.REJECTED, {"code": code, "message": message}))


def _end_of(at: Expansion, state: ItemState, error: Mapping[str, str] | None) -> dict[str, Any]:
    return {"id": at.batch_id, "place": at.index, "state": state.value, "error": dump(error) if error else None}


def _expansion(row: Row[Any]) -> Expansion:
    record = dict(row.item)
    after, parts = record.pop("after", None), int(record.pop("parts", 0))
    return Expansion(row.batch_id, row.tenant, row.place, row.key, record, after, parts)
