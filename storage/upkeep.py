"""The queries behind the dispatcher's duties; each pass is safe to run twice at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from storage.database import Database


class Upkeep:
    """Bounded passes; every method works in batches and says how many rows it changed."""

    def __init__(self, database: Database) -> None:
        raise NotImplementedError

    @contextmanager
    def duty(self, name: str) -> Iterator[bool]:
        """Try ``pg_try_advisory_xact_lock`` for a duty, in a transaction of its own; yield whether we have it.

        ``idle_in_transaction_session_timeout`` is 5 s inside, so a frozen replica gives the duty up.
        """
        raise NotImplementedError

    def clock(self) -> datetime:
        """The database's clock."""
        raise NotImplementedError

    def wake_due(self, limit: int = 500) -> frozenset[tuple[str, str]]:
        """Move due ``waiting`` segments to ``ready``; return their (lane, size_class) pairs."""
        raise NotImplementedError

    def expire(self, limit: int = 500) -> int:
        """Fail queued jobs past ``expires_at`` with ``job.expired``."""
        raise NotImplementedError

    def ready_by_lane(self) -> Mapping[tuple[str, str], int]:
        """Ready segments per (lane, size_class), counted to at most 10,000."""
        raise NotImplementedError

    def advance_virtual_time(self) -> None:
        """Raise v of each lane to the largest start tag in service; never falls."""
        raise NotImplementedError

    def unowned(self, keys_by_id: Mapping[str, str]) -> list[str]:
        """Of object keys by the job or upload id inside them, return those that no row names."""
        raise NotImplementedError

    def forget_workers(self, older_than_seconds: float = 86400.0) -> int:
        """Delete rows of workers long gone."""
        raise NotImplementedError
