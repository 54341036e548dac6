"""How an order to replay dead letters is carried out: a step is one transaction, at the order's own pace.

Jobs and progress are written together, so a process that is killed anywhere replays nothing twice; and what runs
again is not dead any more, so no other order finds it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection, Row

from storage.database import Database
from storage.dead.filter import DeadFilter, Refusal, input_is_gone, refusal
from storage.errors import InputGone, StateConflict
from storage.jsonb import dump
from storage.replaying import NewParams, replay

#: dead letters looked at in one transaction, and replayed at most
CHUNK = 50
#: after a pause, at most so many seconds' worth of jobs are made up for
BURST_SECONDS = 2.0
#: refusals told one by one; the others are counted
REFUSALS_KEPT = 100

_RUNNING = text("SELECT id::text FROM replay_orders WHERE state = 'running' ORDER BY id LIMIT :limit")

_HOLD = text("""
    SELECT id::text AS id, filter, params, force, per_second, cursor::text AS cursor, until_at, refusals,
        clock_timestamp() AS now, extract(epoch FROM clock_timestamp() - paced_at)::float8 AS unused_seconds
    FROM replay_orders WHERE id = CAST(:id AS uuid) AND state = 'running' FOR NO KEY UPDATE
""")

_NEXT = """
    SELECT j.id::text AS id, j.pipeline, j.lane, j.size_class, j.same_error_runs, j.input_key, j.input_source_url,
        j.input_deleted_at
    FROM jobs j WHERE {condition} AND j.finished_at < :until_at AND j.id > CAST(:cursor AS uuid)
    ORDER BY j.id LIMIT :limit
"""
# One by one, by id: what is only skipped is not locked. What was replayed or discarded meanwhile is not found.
_LOCK = text("""
    SELECT id FROM jobs WHERE id = CAST(:id AS uuid) AND state = 'dead' AND discarded_at IS NULL
        AND finished_at < :until_at FOR NO KEY UPDATE
""")
_START = "00000000-0000-0000-0000-000000000000"

_WRITE = text("""
    UPDATE replay_orders SET
        cursor = CAST(:cursor AS uuid), paced_at = :paced_at, replayed = replayed + :replayed,
        skipped = skipped + :skipped, refused = refused + :refused, refusals = CAST(:refusals AS jsonb),
        state = CASE WHEN :over THEN 'finished' ELSE state END,
        finished_at = CASE WHEN :over THEN clock_timestamp() END
    WHERE id = CAST(:id AS uuid)
""")


@dataclass(slots=True)
class Step:
    """What one step did."""

    #: ids of jobs that run again
    replayed: list[str] = field(default_factory=list)
    #: job id -> why not
    refused: dict[str, Refusal] = field(default_factory=dict)
    #: (lane, size class) of the former
    lanes: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: the order is finished, canceled or gone, or its pace forbids more just now
    rests: bool = True


def allowance(unused_seconds: float, per_second: float) -> float:
    """Return how many jobs may run again now, as a fraction; long pauses are not made up for."""
    most = max(BURST_SECONDS, 1 / per_second)
    return min(max(unused_seconds, 0.0), most) * per_second


class ReplaySteps:
    """The work of the duty ``replays``."""

    def __init__(self, database: Database, *, chunk: int = CHUNK) -> None:
        self._database = database
        self._chunk = chunk

    def running(self, limit: int = 100) -> Sequence[str]:
        """Ids of orders that are not finished, oldest first."""
        with self._database.transaction() as connection:
            return connection.execute(_RUNNING, {"limit": limit}).scalars().all()

    def step(self, order_id: str) -> Step:
        """Replay the next dead letters of an order, as many as its pace allows; the last step ends it."""
        with self._database.transaction() as connection:
            order = connection.execute(_HOLD, {"id": order_id}).one_or_none()
            if order is None:
                return Step()
            allowed = allowance(order.unused_seconds, order.per_second)
            if allowed < 1 - 1e-6:
                return Step()
            return self._carry_out(connection, order, allowed)

    def _carry_out(self, connection: Connection, order: Row[Any], allowed: float) -> Step:
        jobs = self._next(connection, order)
        done, cursor, reached = Step(), order.cursor, 0
        most = math.floor(allowed + 1e-6)
        for job in jobs:
            if len(done.replayed) == most:
                break
            _settle(connection, order, job, done)
            cursor, reached = job.id, reached + 1
        over = reached == len(jobs) < self._chunk
        left = max(0.0, allowed - len(done.replayed))
        _write(connection, order, done, cursor=cursor, over=over, paced_at=_ago(order, left))
        done.rests = over or left < 1
        return done

    def _next(self, connection: Connection, order: Row[Any]) -> Sequence[Row[Any]]:
        condition, values = DeadFilter.of_json(order.filter).conditions()
        where = {"until_at": order.until_at, "cursor": order.cursor or _START, "limit": self._chunk}
        return connection.execute(text(_NEXT.format(condition=condition)), values | where).all()


def _settle(connection: Connection, order: Row[Any], job: Row[Any], done: Step) -> None:
    """Replay one dead letter, or note why not; one that was taken care of meanwhile is neither."""
    gone = input_is_gone(key=job.input_key, source_url=job.input_source_url, deleted_at=job.input_deleted_at)
    why = refusal(gone=gone, same_error_runs=job.same_error_runs, force=order.force)
    new = order.params["by_pipeline"].get(job.pipeline) if order.params is not None else None
    if why is None and order.params is not None and new is None:
        why = Refusal("params.invalid", f"the new params do not fit {job.pipeline}")
    if why is not None:
        done.refused[job.id] = why
        return
    if connection.execute(_LOCK, {"id": job.id, "until_at": order.until_at}).one_or_none() is None:
        return
    changed = None if new is None else NewParams.read(new)
    try:
        replay(connection, job.id, changed, note={"order": order.id})
    except (InputGone, StateConflict) as error:  # its input went between the two looks
        done.refused[job.id] = Refusal(error.code, str(error))
        return
    done.replayed.append(job.id)
    done.lanes[(job.lane, job.size_class)] += 1


def _write(
    connection: Connection, order: Row[Any], done: Step, *, cursor: str | None, over: bool, paced_at: datetime
) -> None:
    skipped = sum(why.code == "replay.looping" for why in done.refused.values())
    told = list(done.refused.items())[: max(0, REFUSALS_KEPT - len(order.refusals))]
    fresh = [{"job_id": job_id, "code": why.code, "message": why.message} for job_id, why in told]
    row = {
        "id": order.id,
        "cursor": cursor,
        "paced_at": paced_at,
        "replayed": len(done.replayed),
        "skipped": skipped,
        "refused": len(done.refused) - skipped,
        "refusals": dump([*order.refusals, *fresh]),
        "over": over,
    }
    connection.execute(_WRITE, row)


def _ago(order: Row[Any], left: float) -> datetime:
    """The instant up to which the order's pace is used up, ``left`` jobs being still allowed."""
    now: datetime = order.now
    return now - timedelta(seconds=left / order.per_second)
