"""Taking segments back from workers: one batch of it, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage.claims import NOTHING_LOST, Lost
from storage.ending import JobEnd, end_jobs, lock_jobs, requeue_idle
from storage.job import GiveBack
from storage.returning import HeldSegment, Return, after, lock_claimed, write_returns

#: segments taken back in one transaction
BATCH = 500

_CLAIMED = text("""
    SELECT id::text AS id, job_id::text AS job_id FROM segments
    WHERE worker_id = :worker_id AND state = 'claimed'
        AND (CAST(:claim_id AS uuid) IS NULL OR claim_id = CAST(:claim_id AS uuid))
    ORDER BY id LIMIT :batch
""")

_ADD_ATTEMPTS = text("""
    UPDATE jobs j SET attempts = j.attempts + g.charged, updated_at = clock_timestamp()
    FROM unnest(CAST(:ids AS uuid[]), CAST(:charged AS int[])) AS g (id, charged) WHERE j.id = g.id
""")


def give_back(connection: Connection, worker_id: str, *, claim_id: str | None = None) -> Lost:
    """Give up to BATCH segments of a worker (of one claim) back, uncharged."""
    return take_back(connection, worker_id, lambda held: after(held, GiveBack(held.id)), claim_id=claim_id)


def take_back(
    connection: Connection, worker_id: str, decide: Callable[[HeldSegment], Return], *, claim_id: str | None = None
) -> Lost:
    """Take up to BATCH claimed segments from a worker and do with each what ``decide`` says."""
    found = connection.execute(_CLAIMED, {"worker_id": worker_id, "claim_id": claim_id, "batch": BATCH}).all()
    if not found:
        return NOTHING_LOST
    jobs = lock_jobs(connection, (row.job_id for row in found))
    # Locked only now, after their jobs: what was finished or canceled meanwhile is not among them any more.
    held = lock_claimed(connection, worker_id, [row.id for row in found])
    returns = [decide(segment) for segment in held.values() if segment.job_id in jobs]
    lanes = write_returns(connection, returns)
    _charge(connection, [back.job_id for back in returns if back.charged])
    ended = end_jobs(
        connection,
        list({back.job_id: JobEnd(back.job_id, back.ends, back.error) for back in returns if back.ends}.values()),
    )
    requeue_idle(connection, {back.job_id for back in returns} - ended)
    return Lost(segments=len(returns), buried=sum(back.ends is not None for back in returns), lanes=lanes)


def take_all_back(batches: Callable[[], Lost]) -> Lost:
    """Call ``batches`` until it finds nothing, and add up what it took."""
    total = NOTHING_LOST
    while (lost := batches()).segments:
        total += lost
    return total


def _charge(connection: Connection, job_ids: Sequence[str]) -> None:
    if job_ids:
        ids = sorted(set(job_ids))
        connection.execute(_ADD_ATTEMPTS, {"ids": ids, "charged": [job_ids.count(job_id) for job_id in ids]})
