"""What the dispatcher does for batches: items into jobs, jobs to their end, failed ones once more; all in chunks.

Each step is one short transaction under a lock of its batch that nobody waits for, so replicas never make a job twice
and ``max_queue`` is never exceeded; a process that is killed anywhere leaves nothing half done.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage.batches import jobs as batch_jobs
from storage.batches.rows import LIVE_STATES
from storage.creating_many import Made, create_many
from storage.database import Database
from storage.ending import JobEnd, end_jobs, lock_jobs
from storage.job import JobState
from storage.jsonb import dump

#: items that become jobs in one transaction; their flow moves on once, so nobody waits behind more than that
CHUNK = 1000
#: jobs canceled in one transaction
CANCELED_AT_ONCE = 500

_LIVE = {"live": [state.value for state in LIVE_STATES]}

# Short: each row says what its batch needs, by looking at the first entry of an index.
_WORK = text("""
    SELECT b.id::text AS id, b.canceling, b.replay ->> 'state' IS NOT DISTINCT FROM 'running' AS replaying,
        b.state IN ('open', 'running') AND EXISTS (
            SELECT FROM batch_items i WHERE i.batch_id = b.id AND i.state = 'waiting') AS makes,
        b.state = 'running' AND b.replay ->> 'state' IS DISTINCT FROM 'running'
            AND NOT EXISTS (
                SELECT FROM batch_items i WHERE i.batch_id = b.id AND i.state IN ('waiting', 'expanding'))
            AND NOT EXISTS (
                SELECT FROM jobs j WHERE j.batch_id = b.id AND j.state IN ('uploading', 'queued', 'running')) AS ends
    FROM batches b WHERE b.state IN ('open', 'running') OR b.canceling ORDER BY b.id
""")

_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended('framequeue batch ' || :id, 0))")

# Shared with who adds items; whoever cancels waits for it, and is waited for.
_HOLD_OPEN = text("""
    SELECT tenant, max_queue FROM batches WHERE id = CAST(:id AS uuid) AND state IN ('open', 'running')
    FOR KEY SHARE
""")

_COUNT_LIVE = text("""
    SELECT count(*) FROM (
        SELECT FROM jobs WHERE batch_id = CAST(:id AS uuid) AND state = ANY(CAST(:live AS text[])) LIMIT :limit) AS live
""")

_NEXT = text("""
    SELECT index AS place, part, item FROM batch_items
    WHERE batch_id = CAST(:id AS uuid) AND state = 'waiting' ORDER BY index, part LIMIT :limit
""")

# What is in the job's row now is needed here no more.
_SETTLE = text("""
    UPDATE batch_items i SET state = g.state, job_id = g.job_id, error = g.error, item = '{}'
    FROM jsonb_to_recordset(CAST(:outcomes AS jsonb)) AS g (place int, part int, state text, job_id uuid, error jsonb)
    WHERE i.batch_id = CAST(:id AS uuid) AND i.index = g.place AND i.part = g.part AND i.state = 'waiting'
""")

_TO_CANCEL = text("""
    SELECT id::text FROM jobs WHERE batch_id = CAST(:id AS uuid) AND state = ANY(CAST(:live AS text[])) LIMIT :limit
""")
_ALL_CANCELED = text("UPDATE batches SET canceling = false WHERE id = CAST(:id AS uuid) AND canceling")

_FINISH = text("""
    UPDATE batches b SET state = 'finished', finished_at = clock_timestamp()
    WHERE b.id = CAST(:id AS uuid) AND b.state = 'running' AND b.replay ->> 'state' IS DISTINCT FROM 'running'
        AND NOT EXISTS (SELECT FROM batch_items i WHERE i.batch_id = b.id AND i.state IN ('waiting', 'expanding'))
        AND NOT EXISTS (SELECT FROM jobs j WHERE j.batch_id = b.id AND j.state = ANY(CAST(:live AS text[])))
""")


@dataclass(frozen=True, slots=True)
class BatchWork:
    """What a batch needs of the dispatcher just now."""

    id: str
    makes: bool
    canceling: bool
    replaying: bool
    ends: bool


@dataclass(frozen=True, slots=True)
class Chunk:
    """What became of some items; ``lanes``: where segments wait now."""

    jobs: int = 0
    rejected: int = 0
    lanes: Made = field(default_factory=dict)


class BatchMaker:
    """Steps of the duty ``batches``."""

    def __init__(self, database: Database, *, chunk: int = CHUNK, canceled_at_once: int = CANCELED_AT_ONCE) -> None:
        self._database = database
        self._chunk = chunk
        self._canceled_at_once = canceled_at_once

    def work(self) -> Sequence[BatchWork]:
        """Return every batch that is not at rest, oldest first."""
        with self._database.transaction() as connection:
            return [BatchWork(**row._mapping) for row in connection.execute(_WORK)]

    def make(self, batch_id: str) -> Chunk:
        """Turn the next items of a batch into jobs, as many as ``max_queue`` has room for."""
        with self._database.transaction() as connection:
            if not try_lock(connection, batch_id):
                return Chunk()
            batch = connection.execute(_HOLD_OPEN, {"id": batch_id}).one_or_none()
            most = 0 if batch is None else room(connection, batch_id, batch.max_queue, self._chunk)
            items = connection.execute(_NEXT, {"id": batch_id, "limit": most}).all() if most else []
            if batch is None or not items:
                return Chunk()
            drafts = [batch_jobs.Draft(row.place, row.part, row.item) for row in items]
            news, refused = batch_jobs.jobs_of(connection, batch_id, batch.tenant, drafts)
            lanes = create_many(connection, [new for _, new in news])
            outcomes = [
                {"place": draft.index, "part": draft.part, "state": "made", "job_id": new.id} for draft, new in news
            ] + [
                {"place": draft.index, "part": draft.part, "state": "rejected", "error": error}
                for draft, error in refused
            ]
            settled = connection.execute(_SETTLE, {"id": batch_id, "outcomes": dump(outcomes)}).rowcount
            if settled != len(items):
                raise RuntimeError(f"{len(items)} items of batch {batch_id} were ours, {settled} could be settled")
            return Chunk(len(news), len(refused), lanes)

    def cancel_jobs(self, batch_id: str) -> Collection[str]:
        """End some unfinished jobs of a canceled batch; return their ids, none when none are left."""
        with self._database.transaction() as connection:
            ids = list(
                connection.execute(_TO_CANCEL, {"id": batch_id, "limit": self._canceled_at_once} | _LIVE).scalars()
            )
            locked = lock_jobs(connection, ids)
            ended = end_jobs(connection, [JobEnd(job_id, JobState.CANCELED) for job_id in sorted(locked)])
            if not ids:
                connection.execute(_ALL_CANCELED, {"id": batch_id})
            return ended

    def finish(self, batch_id: str) -> bool:
        """``running`` -> ``finished`` when every item has come to its end; False when not."""
        with self._database.transaction() as connection:
            return connection.execute(_FINISH, {"id": batch_id} | _LIVE).rowcount > 0


def try_lock(connection: Connection, batch_id: str) -> bool:
    """Keep other dispatchers from this batch until the transaction ends; False when one has it."""
    return bool(connection.execute(_TRY_LOCK, {"id": batch_id}).scalar_one())


def room(connection: Connection, batch_id: str, max_queue: int | None, most: int) -> int:
    """How many more jobs the batch may have unfinished, at most ``most``."""
    if max_queue is None:
        return most
    live = connection.execute(_COUNT_LIVE, {"id": batch_id, "limit": max_queue} | _LIVE).scalar_one()
    return max(0, min(most, max_queue - int(live)))
