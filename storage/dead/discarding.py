"""Dead letters that nobody wants any more: off the lists, chunk by chunk, each recorded."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage import audit
from storage.audit import Actor
from storage.database import Database
from storage.dead.filter import DeadFilter

#: dead letters discarded in one transaction
CHUNK = 2000

_NOW = text("SELECT clock_timestamp()")

# By id, as everyone locks jobs. What died after the order was given is none of it.
_DISCARD = """
    WITH named AS MATERIALIZED (
        SELECT j.id FROM jobs j WHERE {condition} AND j.finished_at < :ordered_at AND j.id > CAST(:after AS uuid)
        ORDER BY j.id LIMIT :limit FOR NO KEY UPDATE
    ), discarded AS (
        UPDATE jobs j SET discarded_at = clock_timestamp(), discarded_by = :by, updated_at = clock_timestamp()
        FROM named n WHERE j.id = n.id RETURNING j.id, j.run
    ), noted AS (
        INSERT INTO job_events (job_id, run, kind, data)
        SELECT id, run, 'discarded', jsonb_build_object('by', CAST(:by AS text)) FROM discarded
    )
    SELECT count(*) AS jobs, (array_agg(id::text ORDER BY id DESC))[1] AS last FROM discarded
"""
_START = "00000000-0000-0000-0000-000000000000"


def discard(database: Database, where: DeadFilter, actor: Actor) -> int:
    """Discard what the filter means, in transactions of a bounded size; the audit entry counts with them."""
    condition, values = where.conditions()
    statement = text(_DISCARD.format(condition=condition))
    with database.transaction() as connection:
        ordered_at = connection.execute(_NOW).scalar_one()
        entry = audit.note(connection, actor, "dead.discard", filter=where.summary(), discarded=0)
    total, after = 0, _START
    values |= {"ordered_at": ordered_at, "by": actor.by, "limit": CHUNK}
    while True:
        with database.transaction() as connection:
            row = connection.execute(statement, values | {"after": after}).one()
            total += row.jobs
            _count(connection, entry, total)
        if row.jobs < CHUNK:
            return int(total)
        after = row.last


def _count(connection: Connection, entry: int, total: int) -> None:
    if total:
        audit.complete(connection, entry, discarded=total)
