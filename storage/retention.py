"""What goes when its time is over: inputs and results of jobs that have ended, then the jobs themselves.

The row says it first, then the object goes: what a crash leaves between the two is named by nobody, and swept. A job
that runs, or runs again, is never touched: each statement locks what it changes, skips what others hold, and a replay
that comes later finds the input gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from storage.database import Database
from storage.erasing import erase_rows

#: rows changed in one transaction
BATCH = 500
#: in seconds; longer than any clock we meet
FOR_EVER = 1e10


@dataclass(frozen=True, slots=True)
class Keep:
    """How long what is kept, in seconds from the end of a job; 0 is for ever."""

    inputs: float = 0.0
    results: float = 0.0
    #: input, results and row of a dead job that nobody discarded
    dead: float = 0.0
    #: rows of jobs, with their history; nothing of a job outlives it
    jobs: float = 0.0

    @property
    def ordinary_inputs(self) -> float:
        """Until when an input is kept."""
        return _sooner(self.inputs, self.jobs)

    @property
    def ordinary_results(self) -> float:
        """Until when results are kept."""
        return _sooner(self.results, self.jobs)


def _sooner(one: float, other: float) -> float:
    return min(one or other, other or one)


# In the words of the partial indexes: what has nothing left to delete is in none of these lists.
_ORDINARY = "(j.state <> 'dead' OR j.discarded_at IS NOT NULL)"
_DEAD = "j.state = 'dead' AND j.discarded_at IS NULL"
_WITH_INPUT = f"j.finished_at IS NOT NULL AND j.input_key IS NOT NULL AND {_ORDINARY}"
_WITH_RESULTS = f"j.finished_at IS NOT NULL AND j.results_deleted_at IS NULL AND {_ORDINARY}"
_DEAD_WITH_INPUT = f"{_DEAD} AND j.input_key IS NOT NULL"
_DEAD_WITH_RESULTS = f"{_DEAD} AND j.results_deleted_at IS NULL"

# The clock is read once, in a query of its own: compared with every row, it would keep the index from being used.
_DELETE_INPUTS = """
    WITH due AS MATERIALIZED (
        SELECT j.id, j.input_key FROM jobs j
        WHERE {condition} AND j.finished_at < (SELECT clock_timestamp() - make_interval(secs => :seconds))
        ORDER BY j.finished_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
    ), changed AS (
        UPDATE jobs j SET input_key = NULL, input_deleted_at = clock_timestamp(), updated_at = clock_timestamp()
        FROM due d WHERE j.id = d.id RETURNING j.id, j.run, d.input_key
    ), noted AS (
        INSERT INTO job_events (job_id, run, kind, data)
        SELECT id, run, 'input_deleted', jsonb_build_object('key', input_key) FROM changed
    )
    SELECT count(*) AS jobs, coalesce(array_agg(input_key), '{{}}') AS keys FROM changed
"""

# Rows of every run, and artifacts. A segment that is locked belongs to a job that is not locked by us: none is waited
# for.
_DELETE_RESULTS = """
    WITH due AS MATERIALIZED (
        SELECT j.id, j.artifacts FROM jobs j
        WHERE {condition} AND j.finished_at < (SELECT clock_timestamp() - make_interval(secs => :seconds))
        ORDER BY j.finished_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
    ), named AS MATERIALIZED (
        SELECT s.id, s.job_id, s.rows_key FROM segments s JOIN due d ON d.id = s.job_id
        WHERE s.rows_count IS NOT NULL ORDER BY s.id FOR NO KEY UPDATE OF s
    ), emptied AS (
        UPDATE segments s SET
            rows_count = NULL, rows_size_bytes = NULL, rows_sha256 = NULL, rows_inline = NULL, rows_key = NULL
        FROM named n WHERE s.id = n.id
    ), changed AS (
        UPDATE jobs j SET artifacts = '[]', results_deleted_at = clock_timestamp(), updated_at = clock_timestamp()
        FROM due d WHERE j.id = d.id RETURNING j.id, j.run
    ), noted AS (
        INSERT INTO job_events (job_id, run, kind, data)
        SELECT c.id, c.run, 'results_deleted', jsonb_build_object('segments', n.segments)
        FROM changed c JOIN (SELECT job_id, count(*) AS segments FROM named GROUP BY job_id) n ON n.job_id = c.id
    )
    SELECT (SELECT count(*) FROM changed) AS jobs,
        ARRAY(SELECT rows_key FROM named WHERE rows_key IS NOT NULL
            UNION ALL SELECT a ->> 'key' FROM due d, jsonb_array_elements(d.artifacts) a) AS keys
"""

# A webhook that is still to be sent keeps its job.
_BARE = text("""
    SELECT j.id::text FROM jobs j
    WHERE j.finished_at IS NOT NULL AND j.input_key IS NULL AND j.results_deleted_at IS NOT NULL
        AND j.finished_at < (SELECT clock_timestamp() - make_interval(secs => :jobs))
        AND (j.state <> 'dead' OR j.discarded_at IS NOT NULL
            OR j.finished_at < (SELECT clock_timestamp() - make_interval(secs => :dead)))
        AND NOT EXISTS (SELECT FROM webhook_events w WHERE w.job_id = j.id AND w.state = 'pending')
    ORDER BY j.finished_at LIMIT :limit FOR UPDATE SKIP LOCKED
""")

_EMPTY_BATCHES = text("""
    SELECT b.id FROM batches b
    WHERE b.finished_at < clock_timestamp() - make_interval(secs => :seconds) AND NOT b.canceling
        AND NOT EXISTS (SELECT FROM jobs j WHERE j.batch_id = b.id)
    ORDER BY b.finished_at LIMIT 1 FOR UPDATE SKIP LOCKED
""")
_DELETE_ITEMS = text("""
    DELETE FROM batch_items WHERE (batch_id, index, part) IN (
        SELECT batch_id, index, part FROM batch_items WHERE batch_id = :id ORDER BY index, part LIMIT :limit)
""")
_DELETE_BATCH = text("DELETE FROM batches WHERE id = :id")
_DELETE_ORDERS = text("""
    DELETE FROM replay_orders WHERE id IN (
        SELECT id FROM replay_orders
        WHERE state <> 'running' AND finished_at < clock_timestamp() - make_interval(secs => :seconds) LIMIT :limit)
""")
_DELETE_UPLOADS = text("""
    DELETE FROM uploads WHERE id IN (
        SELECT id FROM uploads
        WHERE state = 'expired' AND expires_at < clock_timestamp() - make_interval(secs => :seconds) LIMIT :limit)
""")


@dataclass(frozen=True, slots=True)
class Gone:
    """What one transaction let go of."""

    jobs: int = 0
    #: objects that no row names any more
    keys: Sequence[str] = ()


class Retention:
    """Each call is one transaction on at most ``batch`` jobs; nothing due is an empty answer."""

    def __init__(self, database: Database, keep: Keep, *, batch: int = BATCH) -> None:
        self._database = database
        self._keep = keep
        self._batch = batch

    def inputs(self) -> Gone:
        """Let go of inputs of jobs that ended long ago; they cannot be replayed any more."""
        return self._first(
            (_DELETE_INPUTS, _WITH_INPUT, self._keep.ordinary_inputs),
            (_DELETE_INPUTS, _DEAD_WITH_INPUT, self._keep.dead),
        )

    def results(self) -> Gone:
        """Let go of rows and artifacts of jobs that ended long ago; their document and its summary stay."""
        return self._first(
            (_DELETE_RESULTS, _WITH_RESULTS, self._keep.ordinary_results),
            (_DELETE_RESULTS, _DEAD_WITH_RESULTS, self._keep.dead),
        )

    def jobs(self) -> Gone:
        """Delete rows of jobs that ended long ago and own nothing any more, with all that hangs on them."""
        keep = self._keep
        if keep.jobs == 0:
            return Gone()
        dead = max(keep.dead or FOR_EVER, keep.jobs)
        with self._database.transaction() as connection:
            where = {"jobs": keep.jobs, "dead": dead, "limit": self._batch}
            ids = list(connection.execute(_BARE, where).scalars())
            return Gone(len(ids), erase_rows(connection, ids))

    def rest(self) -> int:
        """Delete what nothing belongs to any more: batches without jobs, orders carried out, expired uploads."""
        if self._keep.jobs == 0:
            return 0
        where = {"seconds": self._keep.jobs, "limit": self._batch}
        with self._database.transaction() as connection:
            deleted = sum(connection.execute(one, where).rowcount for one in (_DELETE_ORDERS, _DELETE_UPLOADS))
        with self._database.transaction() as connection:
            batch_id = connection.execute(_EMPTY_BATCHES, where).scalar_one_or_none()
            if batch_id is None:
                return deleted
            items = connection.execute(_DELETE_ITEMS, {"id": batch_id, "limit": self._batch}).rowcount
            if items < self._batch:
                connection.execute(_DELETE_BATCH, {"id": batch_id})
            return deleted + items + 1

    def _first(self, *ways: tuple[str, str, float]) -> Gone:
        """Do the first of these that finds anything."""
        for statement, condition, seconds in ways:
            if seconds > 0:
                with self._database.transaction() as connection:
                    where = {"seconds": seconds, "limit": self._batch}
                    row = connection.execute(text(statement.format(condition=condition)), where).one()
                if row.jobs:
                    return Gone(row.jobs, row.keys)
        return Gone()
