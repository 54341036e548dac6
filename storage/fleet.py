"""Worker rows, and taking back what lost workers held. One row per worker child process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from storage import audit
from storage.audit import SHELL, Actor
from storage.claims import NOTHING_LOST, Lost
from storage.database import Database
from storage.jsonb import dump
from storage.losing import give_back, take_all_back, take_back
from storage.returning import after_loss_of_child, after_loss_of_host

#: a worker is lost when its row was not renewed for this long, by the database's clock
LEASE_SECONDS = 15.0
#: infrastructure losses of one segment before it is buried
MAX_LOSSES = 10


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One row of ``workers``."""

    id: str
    host: str
    pid: int
    lanes: Sequence[str]
    size_classes: Sequence[str]
    pipelines: Sequence[str]
    device: Mapping[str, Any]
    state: str  # live | draining | lost | stopped
    claimed_segments: int
    started_at: datetime
    heartbeat_at: datetime


_REGISTER = text("""
    INSERT INTO workers (id, host, pid, lanes, size_classes, pipelines, device, state)
    VALUES (:id, :host, :pid, CAST(:lanes AS text[]), CAST(:size_classes AS text[]), CAST(:pipelines AS text[]),
        CAST(:device AS jsonb), 'live')
    ON CONFLICT (id) DO UPDATE SET
        host = excluded.host, pid = excluded.pid, lanes = excluded.lanes, size_classes = excluded.size_classes,
        pipelines = excluded.pipelines, device = excluded.device, state = 'live', started_at = clock_timestamp(),
        heartbeat_at = clock_timestamp(), gone_at = NULL
""")

_LEAVE = text("UPDATE workers SET state = :state, gone_at = clock_timestamp() WHERE id = :id AND state <> :state")

# The clock is the database's: a worker's own may be an hour off. A heartbeat far ahead was made before that clock was
# put back; whoever lives has made one since, for a lease passes between the jump and this question.
_SILENT = """
    w.heartbeat_at NOT BETWEEN clock_timestamp() - make_interval(secs => :lease)
        AND clock_timestamp() + make_interval(secs => :lease)
"""

_FALL_SILENT = text(f"""
    UPDATE workers SET state = 'lost', gone_at = clock_timestamp() WHERE id IN (
        SELECT w.id FROM workers w WHERE w.state IN ('live', 'draining') AND {_SILENT}
        ORDER BY w.id FOR NO KEY UPDATE SKIP LOCKED)
""")  # noqa: S608 - fixed text

# By what is held, not by who was just declared lost: a pass that died half-way, or a claim that slipped in while its
# worker was being declared lost, is seen by the next pass. Whose heart still beat a moment ago is left to the main
# process, which is just taking its work back and knows whom to charge; should it die over that, the lease runs out.
_ORPHANS = text(f"""
    SELECT DISTINCT s.worker_id FROM segments s LEFT JOIN workers w ON w.id = s.worker_id
    WHERE s.state = 'claimed' AND s.worker_id IS NOT NULL
        AND (w.id IS NULL OR w.state IN ('lost', 'stopped') AND {_SILENT})
""")  # noqa: S608 - fixed text

_LIST = text("""
    SELECT w.id, w.host, w.pid, w.lanes, w.size_classes, w.pipelines, w.device, w.state, w.started_at, w.heartbeat_at,
        (SELECT count(*) FROM segments s WHERE s.worker_id = w.id AND s.state = 'claimed') AS claimed_segments
    FROM workers w
    WHERE w.gone_at IS NULL OR w.gone_at > clock_timestamp() - make_interval(secs => :gone_seconds)
    ORDER BY w.host, w.id
""")

_DRAIN = text("UPDATE workers SET state = 'draining' WHERE id = :id AND state IN ('live', 'draining')")

_LIVE = text("""
    SELECT lane, size_class, count(*) AS workers
    FROM workers, unnest(lanes) AS lane, unnest(size_classes) AS size_class
    WHERE state = 'live' AND heartbeat_at > clock_timestamp() - make_interval(secs => :lease)
    GROUP BY lane, size_class
""")


class Fleet:
    """Registers workers, drains them, and returns the segments of those that died."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(
        self,
        worker_id: str,
        *,
        host: str,
        pid: int,
        lanes: Sequence[str],
        size_classes: Sequence[str],
        pipelines: Sequence[str],
        device: Mapping[str, Any],
    ) -> None:
        """Insert or revive the row, heartbeat now."""
        row = {
            "id": worker_id,
            "host": host,
            "pid": pid,
            "lanes": list(lanes),
            "size_classes": list(size_classes),
            "pipelines": list(pipelines),
            "device": dump(device),
        }
        with self._database.transaction() as connection:
            connection.execute(_REGISTER, row)

    def leave(self, worker_id: str) -> Lost:
        """The worker stops: state ``stopped``, and whatever it still holds goes back uncharged."""
        with self._database.transaction() as connection:
            connection.execute(_LEAVE, {"id": worker_id, "state": "stopped"})

        def batch() -> Lost:
            with self._database.transaction() as connection:
                return give_back(connection, worker_id)

        return take_all_back(batch)

    def lose_child(self, worker_id: str, *, reason: str, stack: str | None = None) -> Lost:
        """A child of a living worker died: free its claims at once; ``stack``: where it stood, as far as known.

        Held alone: charged one attempt (``worker.lost``), dead at ``max_attempts``. Held with others: all become
        solo, nobody is charged. The claim_id stays in place, so a result that was already on its way is accepted.
        """
        with self._database.transaction() as connection:
            connection.execute(_LEAVE, {"id": worker_id, "state": "lost"})

        def batch() -> Lost:
            with self._database.transaction() as connection:
                return take_back(connection, worker_id, lambda held: after_loss_of_child(held, reason, stack))

        return take_all_back(batch)

    def lose_silent(self, lease_seconds: float = LEASE_SECONDS) -> Lost:
        """Free the claims of every worker whose heartbeat is older than the lease.

        A lost host is infrastructure: not charged, but ``losses + 1``, buried at ``MAX_LOSSES``; solo as above.
        """
        with self._database.transaction() as connection:
            connection.execute(_FALL_SILENT, {"lease": lease_seconds})
            orphans = connection.execute(_ORPHANS, {"lease": lease_seconds}).scalars().all()
        reason = f"the worker was silent for {lease_seconds:g} s"

        return sum((self._take_from_silent(worker_id, reason) for worker_id in orphans), start=NOTHING_LOST)

    def list(self, *, include_gone_seconds: float = 300.0) -> Sequence[WorkerRow]:
        """Live and draining workers, and those gone lately."""
        with self._database.transaction() as connection:
            rows = connection.execute(_LIST, {"gone_seconds": include_gone_seconds})
            return [WorkerRow(**row._mapping) for row in rows]

    def drain(self, worker_id: str, *, by: Actor = SHELL) -> bool:
        """Ask a worker to finish what it holds and claim no more; False when there is no such live worker."""
        with self._database.transaction() as connection:
            found = connection.execute(_DRAIN, {"id": worker_id}).rowcount > 0
            if found:
                audit.note(connection, by, "worker.drain", worker=worker_id)
            return found

    def live_by_lane(self) -> Mapping[tuple[str, str], int]:
        """Live workers per (lane, size_class)."""
        with self._database.transaction() as connection:
            rows = connection.execute(_LIVE, {"lease": LEASE_SECONDS})
            return {(row.lane, row.size_class): row.workers for row in rows}

    def _take_from_silent(self, worker_id: str, reason: str) -> Lost:
        def batch() -> Lost:
            with self._database.transaction() as connection:
                return take_back(
                    connection, worker_id, lambda held: after_loss_of_host(held, reason, max_losses=MAX_LOSSES)
                )

        return take_all_back(batch)
