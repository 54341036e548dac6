"""How full the queue is, for /v1/queue, metrics and operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage import audit
from storage.audit import SHELL, Actor
from storage.database import Database
from storage.job import JobState


@dataclass(frozen=True, slots=True)
class LaneDepth:
    """One (lane, size_class)."""

    lane: str
    size_class: str
    waiting: int
    ready: int
    claimed: int
    oldest_ready_seconds: float | None
    cost_ahead_seconds: float


#: jobs of one state are counted to this many, then estimated
COUNTED_JOBS = 100_000

_LANES = text("""
    SELECT lane, size_class,
        count(*) FILTER (WHERE state = 'waiting') AS waiting,
        count(*) FILTER (WHERE state = 'ready') AS ready,
        count(*) FILTER (WHERE state = 'claimed') AS claimed,
        extract(epoch FROM clock_timestamp() - min(ready_at) FILTER (WHERE state = 'ready'))::float8
            AS oldest_ready_seconds,
        coalesce(sum(cost_seconds) FILTER (WHERE state IN ('ready', 'claimed')), 0)::float8 AS cost_ahead_seconds
    FROM (
        SELECT * FROM segments WHERE state = 'ready'
        UNION ALL SELECT * FROM segments WHERE state = 'waiting'
        UNION ALL SELECT * FROM segments WHERE state = 'claimed' AND worker_id IS NOT NULL
    ) AS unfinished
    GROUP BY lane, size_class ORDER BY lane, size_class
""")

_COUNT_STATES = text("""
    SELECT state, (SELECT count(*) FROM (
        SELECT FROM jobs WHERE jobs.state = s.state LIMIT :limit) AS counted) AS jobs
    FROM unnest(CAST(:states AS text[])) AS s (state)
""")

# What the last ANALYZE saw; -1 rows means that there was none yet.
_ESTIMATE_STATES = text("""
    SELECT f.state, (f.share * c.reltuples)::bigint AS jobs
    FROM pg_class c, pg_stats p,
        unnest(p.most_common_vals::text::text[], p.most_common_freqs) AS f (state, share)
    WHERE c.oid = 'jobs'::regclass AND p.schemaname = current_schema() AND p.tablename = 'jobs'
        AND p.attname = 'state' AND c.reltuples > 0
""")

_PAUSES = text("SELECT kind, name, since, by FROM pauses ORDER BY since, kind, name")
_PAUSE = text("INSERT INTO pauses (kind, name, by) VALUES (:kind, :name, :by) ON CONFLICT DO NOTHING")
_RESUME = text("DELETE FROM pauses WHERE kind = :kind AND name = :name")

PAUSABLE = ("pipeline", "lane", "tenant")


class Depth:
    """Counts, each one statement."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def lanes(self) -> Sequence[LaneDepth]:
        """Every lane with unfinished segments."""
        with self._database.transaction() as connection:
            return [LaneDepth(**row._mapping) for row in connection.execute(_LANES)]

    def jobs_by_state(self) -> Mapping[str, int]:
        """Jobs per state (estimated past 100,000)."""
        states = {"states": [state.value for state in JobState], "limit": COUNTED_JOBS + 1}
        with self._database.transaction() as connection:
            counts = {row.state: row.jobs for row in connection.execute(_COUNT_STATES, states)}
            return _with_estimates(connection, counts)

    def pauses(self) -> Sequence[Mapping[str, str]]:
        """What is paused: kind (pipeline, lane, tenant), name, since, by."""
        with self._database.transaction() as connection:
            return [row._asdict() | {"since": row.since.isoformat()} for row in connection.execute(_PAUSES)]

    def pause(self, kind: str, name: str, *, by: Actor) -> bool:
        """Stop claims of a pipeline, lane or tenant; False when it was paused already. Raises: ValueError."""
        if kind not in PAUSABLE:
            raise ValueError(f"only {', '.join(PAUSABLE)} can be paused, not {kind}")
        with self._database.transaction() as connection:
            paused = connection.execute(_PAUSE, {"kind": kind, "name": name, "by": by.by}).rowcount > 0
            if paused:
                audit.note(connection, by, "pause", kind=kind, name=name)
            return paused

    def resume(self, kind: str, name: str, *, by: Actor = SHELL) -> bool:
        """Undo ``pause``; False when it was not paused."""
        with self._database.transaction() as connection:
            resumed = connection.execute(_RESUME, {"kind": kind, "name": name}).rowcount > 0
            if resumed:
                audit.note(connection, by, "resume", kind=kind, name=name)
            return resumed


def _with_estimates(connection: Connection, counts: dict[str, int]) -> dict[str, int]:
    if all(count <= COUNTED_JOBS for count in counts.values()):
        return counts
    estimates = {row.state: row.jobs for row in connection.execute(_ESTIMATE_STATES)}
    return {
        state: max(count, estimates.get(state, 0)) if count > COUNTED_JOBS else count for state, count in counts.items()
    }
