"""How batches and their items are read: counts in one statement, items in pages by their place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection, Row

from storage.batches.rows import Batch, BatchPage, BatchState, Counted, Counts, Item, ItemState, Place
from storage.errors import BatchNotFound, CursorInvalid
from storage.ids import is_id
from storage.job import JobState

_COLUMNS = """b.id::text AS id, b.tenant, b.name, b.state, b.fingerprint, b.defaults, b.max_queue, b.next_index,
    b.canceling, b.replay, b.created_at, b.closed_at, b.finished_at, b.items_total"""

# Indexes alone answer all three.
_COUNTS = """
    (SELECT count(*) FROM batch_items i WHERE i.batch_id = b.id AND i.state IN ('waiting', 'expanding')) AS waiting,
    (SELECT count(*) FROM batch_items i WHERE i.batch_id = b.id AND i.state = 'rejected') AS rejected,
    (SELECT coalesce(jsonb_object_agg(c.state, c.jobs), '{}') FROM (
        SELECT j.state, count(*) AS jobs FROM jobs j WHERE j.batch_id = b.id GROUP BY j.state) AS c) AS by_state
"""

_GET = text(f"SELECT {_COLUMNS} FROM batches b WHERE b.id = CAST(:id AS uuid) AND b.tenant = :tenant")  # noqa: S608 - fixed text
_COUNTED = text(f"""
    SELECT {_COLUMNS}, {_COUNTS} FROM batches b WHERE b.id = CAST(:id AS uuid) AND b.tenant = :tenant
""")  # noqa: S608 - fixed text
_PAGE = text(f"""
    SELECT {_COLUMNS}, {_COUNTS} FROM batches b
    WHERE b.tenant = :tenant AND b.id < CAST(:cursor AS uuid) ORDER BY b.id DESC LIMIT :limit
""")  # noqa: S608 - fixed text
_FIRST = "ffffffff-ffff-ffff-ffff-ffffffffffff"

# First the places of one page, from an index; only then the rows. Statistics are stale just after a batch came in, and
# a planner that is free to join the other way round reads all of it for every page.
_ITEMS = """
    WITH page AS MATERIALIZED (
        {places} ORDER BY index, part LIMIT :limit
    )
    SELECT i.index AS place, i.part, coalesce(i.key, i.item ->> 'key') AS key, i.state AS item_state,
        i.job_id::text AS job_id, i.error AS item_error, j.state AS job_state, j.run, j.summary, j.error AS job_error
    FROM page
    JOIN batch_items i ON i.batch_id = CAST(:id AS uuid) AND i.index = page.index AND i.part = page.part
    LEFT JOIN jobs j ON j.id = i.job_id
    ORDER BY place, part
"""
_PLACES = """
    SELECT index, part FROM batch_items
    WHERE batch_id = CAST(:id AS uuid) AND (index, part) > (:index, :part) AND {condition}
"""
_PLACES_OF_JOBS = """
    SELECT b.index, b.part FROM (
        SELECT id FROM jobs WHERE batch_id = CAST(:id AS uuid) AND state = :state OFFSET 0) AS hits
    JOIN batch_items b ON b.job_id = hits.id
    WHERE (b.index, b.part) > (:index, :part)
"""
_ANY = text(_ITEMS.format(places=_PLACES.format(condition="state <> 'expanded'")))
_UNMADE = "state IN ('waiting', 'expanding')"
_WAITING = text(_ITEMS.format(places=_PLACES.format(condition=_UNMADE)))
_REJECTED = text(_ITEMS.format(places=_PLACES.format(condition="state = 'rejected'")))
_OF_JOBS = text(_ITEMS.format(places=_PLACES_OF_JOBS))
_DROPPED = text(_ITEMS.format(places=f"{_PLACES_OF_JOBS} UNION ALL {_PLACES.format(condition=_UNMADE)}"))

_VERSION = text("""
    SELECT concat_ws(' ', b.items_total, (SELECT count(*) FROM batch_items i
            WHERE i.batch_id = b.id AND i.state IN ('waiting', 'expanding')),
        (SELECT concat_ws(' ', count(*), max(j.updated_at)) FROM jobs j WHERE j.batch_id = b.id))
    FROM batches b WHERE b.id = CAST(:id AS uuid)
""")


def get(connection: Connection, batch_id: str, tenant: str) -> Batch:
    """Return a batch. Raises: BatchNotFound."""
    return _batch(_one(connection, _GET, batch_id, tenant))


def counted(connection: Connection, batch_id: str, tenant: str) -> Counted:
    """Return a batch with its counts. Raises: BatchNotFound."""
    return _counted(_one(connection, _COUNTED, batch_id, tenant))


def page(connection: Connection, tenant: str, *, cursor: str | None, limit: int) -> BatchPage:
    """Return one page, newest first. Raises: CursorInvalid."""
    if cursor is not None and not is_id(cursor):
        raise CursorInvalid("the cursor is not one that a listing returned")
    where = {"tenant": tenant, "cursor": cursor or _FIRST, "limit": limit + 1}
    rows = connection.execute(_PAGE, where).all()
    found = [_counted(row) for row in rows[:limit]]
    return BatchPage(found, found[-1].batch.id if len(rows) > limit else None)


def rejected(connection: Connection, batch_id: str, limit: int) -> Sequence[Item]:
    """Return the first items that were refused."""
    where = {"id": batch_id, "index": -1, "part": 0, "limit": limit}
    return [_item(row, dropped=False) for row in connection.execute(_REJECTED, where)]


def items(
    connection: Connection, batch: Batch, *, after: Place, limit: int, state: str | None = None
) -> Sequence[Item]:
    """Return the items behind a place, in order."""
    where: dict[str, Any] = {"id": batch.id, "index": after.index, "part": after.part, "limit": limit, "state": state}
    dropped = batch.state is BatchState.CANCELED
    if state is None:
        statement = _ANY
    elif state == ItemState.REJECTED:
        statement = _REJECTED
    elif state == ItemState.WAITING:
        if dropped:
            return []
        statement = _WAITING
    else:
        statement = _DROPPED if dropped and state == JobState.CANCELED else _OF_JOBS
    return [_item(row, dropped=dropped) for row in connection.execute(statement, where)]


def version(connection: Connection, batch: Batch) -> str:
    """Return a text that differs when any item or job of the batch has changed."""
    jobs = connection.execute(_VERSION, {"id": batch.id}).scalar_one()
    return f"{batch.state} {jobs}"


def _one(connection: Connection, statement: Any, batch_id: str, tenant: str) -> Row[Any]:
    row = connection.execute(statement, {"id": batch_id, "tenant": tenant}).one_or_none() if is_id(batch_id) else None
    if row is None:
        raise BatchNotFound(f"no batch {batch_id}")
    return row


def _batch(row: Row[Any]) -> Batch:
    fields = {name: row._mapping[name] for name in Batch.__dataclass_fields__}
    return Batch(**(fields | {"state": BatchState(row.state)}))


def _counted(row: Row[Any]) -> Counted:
    batch = _batch(row)
    by_state, waiting = dict(row.by_state), row.waiting
    if batch.state is BatchState.CANCELED:
        by_state["canceled"] = by_state.get("canceled", 0) + waiting
        waiting = 0
    return Counted(batch, Counts(batch.items_total, waiting, row.rejected, by_state))


def _item(row: Row[Any], *, dropped: bool) -> Item:
    return Item(
        index=row.place,
        part=row.part,
        key=row.key,
        state=row.job_state or _state(row.item_state, dropped=dropped),
        job_id=row.job_id,
        run=row.run,
        summary=row.summary,
        error=row.job_error if row.job_state else row.item_error,
    )


def _state(item_state: str, *, dropped: bool) -> str:
    """The state of an item that has no job: not yet, never, or not any more."""
    if item_state == ItemState.MADE:
        return "erased"
    if item_state in {ItemState.WAITING, ItemState.EXPANDING}:
        return JobState.CANCELED.value if dropped else ItemState.WAITING.value
    return item_state
