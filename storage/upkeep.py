"""The queries behind the dispatcher's duties; each pass is safe to run twice at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import text

from storage.database import Database
from storage.ending import JobEnd, end_jobs
from storage.fairness import RETURN_TAG
from storage.job import Fault, JobState
from storage.ownership import without_owner

#: ready segments are counted to this many per lane and class
COUNTED_READY = 10_000

# The lock ends with its transaction, so a replica that freezes is cut off by the server and loses it.
_TRY_DUTY = text("SELECT pg_try_advisory_xact_lock(hashtextextended('framequeue duty ' || :name, 0))")
_CUT_OFF_FROZEN = text("SET LOCAL idle_in_transaction_session_timeout = '5s'")

_WAKE_DUE = text(f"""
    WITH due AS MATERIALIZED (
        SELECT id FROM segments WHERE state = 'waiting' AND run_after <= (SELECT clock_timestamp())
        ORDER BY run_after LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
    ), woken AS (
        UPDATE segments s SET state = 'ready', run_after = NULL, ready_at = clock_timestamp(), tag = {RETURN_TAG}
        FROM due WHERE s.id = due.id AND s.state = 'waiting'
        RETURNING s.job_id, s.run, s.id, s.lane, s.size_class
    ), noted AS (
        INSERT INTO job_events (job_id, run, kind, segment_id) SELECT job_id, run, 'due', id FROM woken
    )
    SELECT DISTINCT lane, size_class FROM woken
""")  # noqa: S608 - fixed text

# The mark that a job was begun is made after the claim and may be lost; the claim itself counts.
_EXPIRED = text("""
    SELECT id::text FROM jobs
    WHERE state IN ('uploading', 'queued') AND started_at IS NULL AND expires_at <= (SELECT clock_timestamp())
        AND NOT EXISTS (SELECT FROM segments s WHERE s.job_id = jobs.id AND s.state IN ('claimed', 'done'))
    ORDER BY id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
""")

# Jumps from pair to pair along the claim index instead of reading all of it; what is paused does not count as ready.
_READY = text("""
    WITH RECURSIVE pair AS (
        (SELECT lane, size_class FROM segments WHERE state = 'ready' ORDER BY lane, size_class LIMIT 1)
        UNION ALL
        SELECT next.lane, next.size_class FROM pair CROSS JOIN LATERAL (
            SELECT s.lane, s.size_class FROM segments s
            WHERE s.state = 'ready' AND (s.lane, s.size_class) > (pair.lane, pair.size_class)
            ORDER BY s.lane, s.size_class LIMIT 1) AS next
    )
    SELECT pair.lane, pair.size_class, (SELECT count(*) FROM (
        SELECT FROM segments s
        WHERE s.state = 'ready' AND s.lane = pair.lane AND s.size_class = pair.size_class
            AND s.pipeline <> ALL (ARRAY(SELECT name FROM pauses WHERE kind = 'pipeline'))
            AND s.tenant <> ALL (ARRAY(SELECT name FROM pauses WHERE kind = 'tenant'))
        LIMIT :limit) AS counted) AS ready
    FROM pair WHERE pair.lane NOT IN (SELECT name FROM pauses WHERE kind = 'lane')
""")

# A lane with nothing to do has served all that its flows asked for: whoever comes next starts level with the others.
_ADVANCE = text("""
    INSERT INTO lanes AS l (lane, v)
    SELECT lane, max(v) FROM (
        SELECT lane, max(tag) AS v FROM segments
        WHERE state = 'claimed' AND worker_id IS NOT NULL AND tag > '-infinity' GROUP BY lane
        UNION ALL
        SELECT f.lane, max(f.finish) FROM flows f
        WHERE NOT EXISTS (SELECT FROM segments s WHERE s.state = 'ready' AND s.lane = f.lane)
            AND NOT EXISTS (
                SELECT FROM segments s WHERE s.state = 'claimed' AND s.worker_id IS NOT NULL AND s.lane = f.lane)
        GROUP BY f.lane
    ) AS seen GROUP BY lane
    ON CONFLICT (lane) DO UPDATE SET v = excluded.v WHERE l.v < excluded.v
""")

# A flow behind the virtual time says the same as no flow at all.
_FORGET_FLOWS = text("""
    DELETE FROM flows WHERE (lane, tenant, priority) IN (
        SELECT f.lane, f.tenant, f.priority FROM flows f JOIN lanes l ON l.lane = f.lane
        WHERE f.finish <= l.v FOR UPDATE OF f SKIP LOCKED)
""")

_FORGET_WORKERS = text("""
    DELETE FROM workers w WHERE w.gone_at < clock_timestamp() - make_interval(secs => :seconds)
        AND NOT EXISTS (SELECT FROM segments s WHERE s.worker_id = w.id AND s.state = 'claimed')
""")

_EXPIRY = Fault("job.expired", "The job was not started before its expires_at.", advice="Submit it again.")


class Upkeep:
    """Bounded passes; every method works in batches and says how many rows it changed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def duty(self, name: str) -> Iterator[bool]:
        """Try ``pg_try_advisory_xact_lock`` for a duty, in a transaction of its own; yield whether we have it.

        ``idle_in_transaction_session_timeout`` is 5 s inside, so a frozen replica gives the duty up.
        Raises: DatabaseUnavailable when the lock's transaction was cut off meanwhile.
        """
        with self._database.transaction() as connection:
            connection.execute(_CUT_OFF_FROZEN)
            yield bool(connection.execute(_TRY_DUTY, {"name": name}).scalar_one())

    def clock(self) -> datetime:
        """The database's clock."""
        with self._database.transaction() as connection:
            now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
            return now

    def wake_due(self, limit: int = 500) -> frozenset[tuple[str, str]]:
        """Move due ``waiting`` segments to ``ready``; return their (lane, size_class) pairs."""
        with self._database.transaction() as connection:
            rows = connection.execute(_WAKE_DUE, {"limit": limit})
            return frozenset((row.lane, row.size_class) for row in rows)

    def expire(self, limit: int = 500) -> int:
        """Fail jobs that were not started by their ``expires_at`` with ``job.expired``; uploading ones too."""
        with self._database.transaction() as connection:
            due = connection.execute(_EXPIRED, {"limit": limit}).scalars()
            ends = [JobEnd(job_id, JobState.FAILED, error=_EXPIRY.as_json()) for job_id in due]
            return len(end_jobs(connection, ends))

    def ready_by_lane(self) -> Mapping[tuple[str, str], int]:
        """Ready segments per (lane, size_class), counted to at most 10,000; what is paused is left out."""
        with self._database.transaction() as connection:
            rows = connection.execute(_READY, {"limit": COUNTED_READY})
            return {(row.lane, row.size_class): row.ready for row in rows if row.ready}

    def advance_virtual_time(self) -> None:
        """Raise v of each lane to the largest start tag in service; never falls.

        In a lane with nothing left to do, v rises to the largest finish of its flows.
        """
        with self._database.transaction() as connection:
            connection.execute(_ADVANCE)
            connection.execute(_FORGET_FLOWS)

    def unowned(self, keys_by_id: Mapping[str, str]) -> list[str]:
        """Of object keys, each with the job or upload id inside it (key -> id), return those that no row names.

        An input is named by its job or open upload. Result rows are named by their segment; those of a job that may
        still write, or ended less than its slowest worker's time ago, are left alone, named or not.
        """
        with self._database.transaction() as connection:
            return without_owner(connection, keys_by_id)

    def forget_workers(self, older_than_seconds: float = 86400.0) -> int:
        """Delete rows of workers long gone."""
        with self._database.transaction() as connection:
            return connection.execute(_FORGET_WORKERS, {"seconds": older_than_seconds}).rowcount
