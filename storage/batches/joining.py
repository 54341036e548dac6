"""A single submission that belongs to a batch: its job and its item are made in one transaction."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage.batches.appending import count_items, lock_open
from storage.batches.rows import BatchState
from storage.errors import BatchFull, ItemDuplicate, StateConflict
from storage.new_job import NewJob

# An item of this key that was refused before makes room.
_JOIN = text("""
    INSERT INTO batch_items AS i (batch_id, index, key, state, digest, item, job_id)
    VALUES (CAST(:batch_id AS uuid), :index, :key, 'made', :digest, '{}', CAST(:job_id AS uuid))
    ON CONFLICT (batch_id, key) WHERE key IS NOT NULL DO UPDATE SET
        state = 'made', digest = excluded.digest, item = '{}', error = NULL, job_id = excluded.job_id
    WHERE i.state = 'rejected'
    RETURNING index
""")


def join(connection: Connection, new: NewJob) -> None:
    """Make the item of a job that the caller's transaction has just inserted.

    Raises: BatchNotFound, StateConflict (not open), BatchFull, ItemDuplicate.
    """
    batch_id = new.batch_id or ""
    batch = lock_open(connection, batch_id, new.tenant)
    if batch.state != BatchState.OPEN:
        raise StateConflict(f"the batch is {batch.state}; only an open one takes jobs")
    if batch.items_total >= batch.items_max:
        raise BatchFull(f"the batch has {batch.items_total} items and may have no more")
    item = {"index": batch.next_index, "key": new.item_key, "digest": new.fingerprint[:32]}
    place = connection.execute(_JOIN, item | {"batch_id": batch_id, "job_id": new.id}).scalar_one_or_none()
    if place is None:
        raise ItemDuplicate(f"the batch has another item called {new.item_key!r}")
    if place == batch.next_index:
        count_items(connection, batch_id, lines=1, total=1)
