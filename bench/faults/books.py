"""The harness's own look into the database: its clock, who holds what, how much is left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2

ENDED = ("succeeded", "failed", "dead", "canceled")


@dataclass(frozen=True, slots=True)
class Holder:
    """A worker process of the fleet and the segments it holds now."""

    worker_id: str
    pid: int
    segment_ids: Sequence[str]
    claim_ids: Sequence[str]


class Books:
    """A fresh connection for each question, since the server may have been killed since the last."""

    def __init__(self, database_url: str) -> None:
        self.database_url = database_url

    def ask(self, sql: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Run one statement. Raises: psycopg2.Error when the server does not answer."""
        with contextlib.closing(psycopg2.connect(self.database_url, connect_timeout=5)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql, arguments)
                return [] if cursor.description is None else cursor.fetchall()

    def patient(self, sql: str, *arguments: Any, timeout_seconds: float = 60.0) -> list[tuple[Any, ...]]:
        """The same, waiting for a server that is just coming back."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                return self.ask(sql, *arguments)
            except psycopg2.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def now(self) -> float:
        """The database's clock, in seconds since the epoch; our own while it is away."""
        with contextlib.suppress(psycopg2.Error):
            return float(self.ask("SELECT extract(epoch FROM clock_timestamp())::float")[0][0])
        return time.time()

    def holders(self, pids: Sequence[int] | None = None) -> list[Holder]:
        """The live worker processes (of these pids) and what each holds."""
        rows = self.ask(
            "SELECT w.id, w.pid, coalesce(array_agg(s.id::text) FILTER (WHERE s.id IS NOT NULL), '{}'),"
            " coalesce(array_agg(DISTINCT s.claim_id::text) FILTER (WHERE s.id IS NOT NULL), '{}')"
            " FROM workers w LEFT JOIN segments s ON s.worker_id = w.id AND s.state = 'claimed'"
            " WHERE w.state IN ('live', 'draining') AND (%s::int[] IS NULL OR w.pid = ANY(%s))"
            " GROUP BY w.id, w.pid ORDER BY w.id",
            None if pids is None else list(pids),
            None if pids is None else list(pids),
        )
        return [Holder(*row) for row in rows]

    def states(self) -> Mapping[str, int]:
        """How many jobs are in each state."""
        return {str(state): int(count) for state, count in self.patient("SELECT state, count(*) FROM jobs GROUP BY 1")}

    def unfinished(self) -> int:
        """How many jobs have not ended."""
        return sum(count for state, count in self.states().items() if state not in ENDED)
