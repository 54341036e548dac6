"""Batches as clients see them: create, fill, close, look, list, cancel, replay what failed.

What the dispatcher does for them lies in ``storage.batches.making`` and ``storage.batches.expanding``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection, Row

from storage import audit
from storage.audit import Actor
from storage.batches import appending, reading
from storage.batches.rows import Added, Batch, BatchPage, BatchState, Counted, Item, NewBatch, NewItem, Place
from storage.database import Database
from storage.errors import BatchNotFound, IdempotencyConflict, StateConflict
from storage.ids import is_id
from storage.job import JobState
from storage.jsonb import clean_text, dump

#: states that an order to replay may name
REPLAYABLE = (JobState.FAILED, JobState.DEAD)

_CREATE = text("""
    INSERT INTO batches (id, tenant, name, state, fingerprint, idempotency_key, defaults, max_queue, items_max)
    VALUES (CAST(:id AS uuid), :tenant, :name, 'open', :fingerprint, :idempotency_key, CAST(:defaults AS jsonb),
        :max_queue, :items_max)
    ON CONFLICT (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
""")

_ID_BY_KEY = text("SELECT id::text FROM batches WHERE tenant = :tenant AND idempotency_key = :idempotency_key")

_CLOSE = text("""
    UPDATE batches SET state = 'running', closed_at = clock_timestamp()
    WHERE id = CAST(:id AS uuid) AND tenant = :tenant AND state = 'open'
""")

# FOR UPDATE waits for a chunk that is just becoming jobs; after it nothing of this batch becomes one any more.
_LOCK = text("SELECT state FROM batches WHERE id = CAST(:id AS uuid) AND tenant = :tenant FOR UPDATE")

_CANCEL = text("""
    UPDATE batches SET state = 'canceled', canceling = true, finished_at = clock_timestamp(),
        replay = CASE WHEN replay ->> 'state' = 'running' THEN replay || '{"state": "canceled"}' ELSE replay END
    WHERE id = CAST(:id AS uuid) AND state IN ('open', 'running')
""")

_PIPELINES = text("""
    SELECT pipeline, count(*) AS jobs FROM jobs
    WHERE batch_id = CAST(:id AS uuid) AND tenant = :tenant AND state = ANY(CAST(:states AS text[]))
        AND discarded_at IS NULL
    GROUP BY pipeline ORDER BY pipeline
""")

# Until all jobs of the order have ended the batch is running again, unless its manifest is still open.
_REPLAY = text("""
    UPDATE batches SET finished_at = NULL,
        replay = CAST(:replay AS jsonb) || jsonb_build_object('at', clock_timestamp()),
        state = CASE state WHEN 'finished' THEN 'running' ELSE state END
    WHERE id = CAST(:id AS uuid) AND tenant = :tenant AND state <> 'canceled'
        AND replay ->> 'state' IS DISTINCT FROM 'running'
""")


class BatchStore:
    """Conditional writes on ``batches``; a batch's row is locked before its items, and never after a job's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, new: NewBatch) -> tuple[Batch, bool]:
        """Insert an open batch, or find the one its idempotency key made; say whether this call made it.

        Raises: IdempotencyConflict (same key, other head).
        """
        with self._database.transaction() as connection:
            made = connection.execute(_CREATE, _record(new)).rowcount > 0
            batch_id = new.id
            if not made:
                key = {"tenant": new.tenant, "idempotency_key": new.idempotency_key}
                batch_id = connection.execute(_ID_BY_KEY, key).scalar_one()
            batch = reading.get(connection, batch_id, new.tenant)
        if batch.fingerprint != new.fingerprint:
            raise IdempotencyConflict(f"idempotency key {new.idempotency_key!r} was used before with another batch")
        return batch, made

    def put(self, batch_id: str, tenant: str, items: Sequence[NewItem], *, first: int) -> Added:
        """Put lines of the manifest at their index; see ``appending.put``."""
        with self._database.transaction() as connection:
            return appending.put(connection, batch_id, tenant, items, first=first)

    def append(self, batch_id: str, tenant: str, items: Sequence[NewItem]) -> Added:
        """Add items behind the last one; see ``appending.append``."""
        with self._database.transaction() as connection:
            return appending.append(connection, batch_id, tenant, items)

    def close(self, batch_id: str, tenant: str, *, lines: int | None = None) -> Batch:
        """``open`` -> ``running``; repeatable. With ``lines``: only if the manifest has exactly so many.

        Raises: BatchNotFound, IdempotencyConflict, StateConflict (canceled).
        """
        with self._database.transaction() as connection:
            row = appending.lock_open(connection, batch_id, tenant)
            if lines is not None and row.next_index != lines:
                raise IdempotencyConflict(f"this manifest has {lines} lines, the earlier one {row.next_index}")
            if row.state == BatchState.CANCELED and lines is None:
                raise StateConflict("the batch is canceled")
            connection.execute(_CLOSE, {"id": batch_id, "tenant": tenant})
            return reading.get(connection, batch_id, tenant)

    def get(self, batch_id: str, tenant: str) -> Batch:
        """Raises: BatchNotFound, also for another tenant's."""
        with self._database.transaction() as connection:
            return reading.get(connection, batch_id, tenant)

    def counted(self, batch_id: str, tenant: str) -> Counted:
        """Return a batch and the states of its items, as of one instant. Raises: BatchNotFound."""
        with self._database.transaction() as connection:
            return reading.counted(connection, batch_id, tenant)

    def list(self, tenant: str, *, cursor: str | None, limit: int) -> BatchPage:
        """Newest first. Raises: CursorInvalid."""
        with self._database.transaction() as connection:
            return reading.page(connection, tenant, cursor=cursor, limit=limit)

    def rejected(self, batch_id: str, limit: int) -> Sequence[Item]:
        """Return the first rejected items."""
        with self._database.transaction() as connection:
            return reading.rejected(connection, batch_id, limit)

    def items(self, batch: Batch, *, after: Place, limit: int, state: str | None = None) -> Sequence[Item]:
        """Return the items behind ``after`` in order, those of one state if so wished."""
        with self._database.transaction() as connection:
            return reading.items(connection, batch, after=after, limit=limit, state=state)

    def version(self, batch: Batch) -> str:
        """Return what changes whenever a result of the batch does."""
        with self._database.transaction() as connection:
            return reading.version(connection, batch)

    def cancel(self, batch_id: str, tenant: str, *, by: Actor) -> bool:
        """End a batch at once, its jobs soon after; False when it had ended before. Raises: BatchNotFound."""
        with self._database.transaction() as connection:
            _lock(connection, batch_id, tenant)
            changed = connection.execute(_CANCEL, {"id": batch_id}).rowcount > 0
            if changed:
                audit.note(connection, by, "batch.cancel", batch=batch_id)
            return changed

    def pipelines_in(self, batch_id: str, tenant: str, states: Sequence[JobState]) -> Mapping[str, int]:
        """Return how many jobs of a batch in these states each pipeline has."""
        with self._database.transaction() as connection:
            where = {"id": batch_id, "tenant": tenant, "states": [state.value for state in states]}
            return {row.pipeline: row.jobs for row in connection.execute(_PIPELINES, where)}

    def order_replay(
        self,
        batch_id: str,
        tenant: str,
        states: Sequence[JobState],
        params: Mapping[str, Mapping[str, Any]] | None,
        *,
        by: Actor,
    ) -> Batch:
        """Let the dispatcher replay the jobs in these states; ``params``: see ``NewParams`` of dead letters.

        Jobs of pipelines that ``params`` does not name are refused one by one, with a reason.
        Raises: BatchNotFound, StateConflict (canceled, or an earlier order is still being carried out).
        """
        order = {
            "state": "running",
            "states": [state.value for state in states],
            "params": params,
            "cursor": None,
            "replayed": 0,
            "refused": 0,
            "refusals": [],
        }
        with self._database.transaction() as connection:
            row = _lock(connection, batch_id, tenant)
            if not connection.execute(_REPLAY, {"id": batch_id, "tenant": tenant, "replay": dump(order)}).rowcount:
                why = "canceled" if row.state == BatchState.CANCELED else "still carrying out an earlier replay"
                raise StateConflict(f"the batch is {why}")
            audit.note(connection, by, "batch.replay", batch=batch_id, states=order["states"])
            return reading.get(connection, batch_id, tenant)


def _lock(connection: Connection, batch_id: str, tenant: str) -> Row[Any]:
    row = connection.execute(_LOCK, {"id": batch_id, "tenant": tenant}).one_or_none() if is_id(batch_id) else None
    if row is None:
        raise BatchNotFound(f"no batch {batch_id}")
    return row


def _record(new: NewBatch) -> dict[str, Any]:
    return {
        "id": new.id,
        "tenant": new.tenant,
        "name": clean_text(new.name),
        "fingerprint": new.fingerprint,
        "idempotency_key": new.idempotency_key,
        "defaults": dump(new.defaults),
        "max_queue": new.max_queue,
        "items_max": new.items_max,
    }
