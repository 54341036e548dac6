"""Jobs of a batch that ended badly, once more: an order that the dispatcher carries out chunk by chunk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection, Row

from storage.batches.making import Chunk, room, try_lock
from storage.database import Database
from storage.ending import lock_jobs
from storage.errors import InputGone, StateConflict
from storage.jsonb import dump
from storage.replaying import NewParams, replay

#: jobs replayed in one transaction
CHUNK = 100
#: refusals told one by one; the others are counted
REFUSALS_KEPT = 100

# Whoever adds items waits for a chunk: the batch comes before the flows here, as it does there.
_HOLD = text("""
    SELECT max_queue, replay FROM batches
    WHERE id = CAST(:id AS uuid) AND replay ->> 'state' = 'running' FOR NO KEY UPDATE
""")

# What ended after the order was given is none of it: a job is replayed once, however fast it fails again.
_NEXT = text("""
    SELECT id::text AS id, pipeline, lane, size_class FROM jobs
    WHERE batch_id = CAST(:id AS uuid) AND state = :state AND finished_at < CAST(:at AS timestamptz)
        AND id > CAST(:cursor AS uuid) AND discarded_at IS NULL
    ORDER BY id LIMIT :limit
""")
_START = "00000000-0000-0000-0000-000000000000"

_NAMES = text("""
    SELECT job_id::text AS job_id, key FROM batch_items
    WHERE batch_id = CAST(:id AS uuid) AND job_id = ANY(CAST(:ids AS uuid[]))
""")

_WRITE = text("UPDATE batches SET replay = CAST(:replay AS jsonb) WHERE id = CAST(:id AS uuid)")

Order = dict[str, Any]


class BatchReplayer:
    """The step of the duty ``batches`` that carries out orders to replay."""

    def __init__(self, database: Database, *, chunk: int = CHUNK) -> None:
        self._database = database
        self._chunk = chunk

    def step(self, batch_id: str) -> Chunk:
        """Replay the next jobs of an order, as many as ``max_queue`` has room for; the last step ends it."""
        with self._database.transaction() as connection:
            held = connection.execute(_HOLD, {"id": batch_id}).one_or_none() if try_lock(connection, batch_id) else None
            most = 0 if held is None else room(connection, batch_id, held.max_queue, self._chunk)
            if held is None or most == 0:
                return Chunk()
            order: Order = dict(held.replay)
            jobs = self._next(connection, batch_id, order, most)
            refused = _carry_out(connection, order, jobs)
            done = [job for job in jobs if job.id not in refused]
            _note(connection, batch_id, order, done=len(done), refused=refused)
            connection.execute(_WRITE, {"id": batch_id, "replay": dump(order)})
            lanes = Counter((job.lane, job.size_class) for job in done)
            return Chunk(len(done), len(refused), lanes)

    def _next(self, connection: Connection, batch_id: str, order: Order, limit: int) -> Sequence[Row[Any]]:
        """The next jobs of the first state that has any left; moves the order's cursor, and ends the order."""
        while order["states"]:
            where = {"id": batch_id, "state": order["states"][0], "at": order["at"], "limit": limit}
            rows = connection.execute(_NEXT, where | {"cursor": order["cursor"] or _START}).all()
            if rows:
                order["cursor"] = rows[-1].id
                return rows
            order["states"], order["cursor"] = order["states"][1:], None
        order["state"] = "finished"
        return []


def _carry_out(connection: Connection, order: Order, jobs: Sequence[Row[Any]]) -> Mapping[str, Mapping[str, str]]:
    """Replay jobs in the order of their ids; return the refused ones with the reason."""
    refused: dict[str, Mapping[str, str]] = {}
    there = lock_jobs(connection, [job.id for job in jobs])
    for job in jobs:
        new = order["params"].get(job.pipeline) if order["params"] is not None else None
        if order["params"] is not None and new is None:
            refused[job.id] = {"code": "params.invalid", "message": f"the new params do not fit {job.pipeline}"}
            continue
        try:
            if job.id in there:
                replay(connection, job.id, NewParams.read(new) if new else None)
        except (InputGone, StateConflict) as error:
            refused[job.id] = {"code": error.code, "message": str(error)}
    return refused


def _note(
    connection: Connection, batch_id: str, order: Order, *, done: int, refused: Mapping[str, Mapping[str, str]]
) -> None:
    order["replayed"] += done
    order["refused"] += len(refused)
    told = list(refused)[: max(0, REFUSALS_KEPT - len(order["refusals"]))]
    if told:
        names = {row.job_id: row.key for row in connection.execute(_NAMES, {"id": batch_id, "ids": told})}
        order["refusals"] += [{"job_id": job_id, "key": names.get(job_id), **refused[job_id]} for job_id in told]
