"""Taking segments back from workers: one batch of it, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage.claims import NOTHING_LOST, Lost
from storage.ending import lock_jobs
from storage.finishing import write
from storage.job import GiveBack, SegmentState
from storage.returning import HeldSegment, Return, after, lock_claimed
from storage.settling import settle_loss

#: segments taken back in one transaction
BATCH = 500

_CLAIMED = text("""
    SELECT id::text AS id, job_id::text AS job_id FROM segments
    WHERE worker_id = :worker_id AND state = 'claimed'
        AND (CAST(:claim_id AS uuid) IS NULL OR claim_id = CAST(:claim_id AS uuid))
    ORDER BY id LIMIT :batch
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
    settlement = settle_loss(jobs, held, decide)
    lanes = write(connection, settlement)
    buried = sum(back.state is SegmentState.DEAD for back in settlement.returns)
    return Lost(segments=len(held), buried=buried, lanes=lanes)


def take_all_back(batches: Callable[[], Lost]) -> Lost:
    """Call ``batches`` until it finds nothing, and add up what it took."""
    total = NOTHING_LOST
    while (lost := batches()).segments:
        total += lost
    return total
