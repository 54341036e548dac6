"""Worker rows, and taking back what lost workers held. One row per worker child process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.claims import Lost
from storage.database import Database

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


class Fleet:
    """Registers workers, drains them, and returns the segments of those that died."""

    def __init__(self, database: Database) -> None:
        raise NotImplementedError

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
        raise NotImplementedError

    def leave(self, worker_id: str) -> Lost:
        """The worker stops: state ``stopped``, and whatever it still holds goes back uncharged."""
        raise NotImplementedError

    def lose_child(self, worker_id: str, *, reason: str) -> Lost:
        """A child of a living worker died: free its claims at once.

        Held alone: charged one attempt (``worker.lost``), dead at ``max_attempts``. Held with others: all become
        solo, nobody is charged. The claim_id stays in place, so a result that was already on its way is accepted.
        """
        raise NotImplementedError

    def lose_silent(self, lease_seconds: float = LEASE_SECONDS) -> Lost:
        """Free the claims of every worker whose heartbeat is older than the lease.

        A lost host is infrastructure: not charged, but ``losses + 1``, buried at ``MAX_LOSSES``; solo as above.
        """
        raise NotImplementedError

    def list(self, *, include_gone_seconds: float = 300.0) -> Sequence[WorkerRow]:
        """Live and draining workers, and those gone lately."""
        raise NotImplementedError

    def drain(self, worker_id: str) -> bool:
        """Ask a worker to finish what it holds and claim no more; False when there is no such live worker."""
        raise NotImplementedError

    def live_by_lane(self) -> Mapping[tuple[str, str], int]:
        """Live workers per (lane, size_class)."""
        raise NotImplementedError
