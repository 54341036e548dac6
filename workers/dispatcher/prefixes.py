"""Duty: prefixes of batches into items, a page of listed objects at a time; it alone lists what is not ours."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from storage.batches.expanding import BatchExpander, Expansion
from workers.fetch_url import FetchError
from workers.logs import get_logger

log = get_logger(__name__)

#: objects of one page
PAGE = 1000
PASS_SECONDS = 3.0
FIRST_WAIT_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 300.0


class Listing(Protocol):
    """``RemoteSources``, as this duty uses it."""

    def list(self, prefix: str, tenant: str, *, after: str | None, limit: int) -> list[str]:
        """Return the next keys below ``s3://bucket/prefix``. Raises: FetchError."""


class Prefixes:
    """One page of each batch in turn; where a store does not answer, the batch's others wait as patiently."""

    def __init__(
        self,
        expander: BatchExpander,
        listing: Listing,
        *,
        patience_seconds: float = 3600.0,
        page: int = PAGE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``patience_seconds``: how long a store that does not answer is tried before the prefix is given up."""
        self._expander = expander
        self._listing = listing
        self._patience_seconds = patience_seconds
        self._page_size = page
        self._clock = clock
        #: (batch, index) -> since when it fails, and when it is tried again
        self._waits: dict[tuple[str, int], tuple[float, float]] = {}

    def run_pass(self) -> None:
        """Raises: DatabaseUnavailable."""
        until = self._clock() + PASS_SECONDS
        while self._round() and self._clock() < until:
            pass

    def _round(self) -> bool:
        expanding = self._expander.expanding()
        there = {(at.batch_id, at.index) for at in expanding}
        self._waits = {place: wait for place, wait in self._waits.items() if place in there}
        moved = [self._page(at) for at in expanding if self._is_due(at)]
        return any(moved)

    def _is_due(self, at: Expansion) -> bool:
        return self._clock() >= self._waits.get((at.batch_id, at.index), (0.0, 0.0))[1]

    def _page(self, at: Expansion) -> bool:
        """List and take one page; return whether there may be more at once."""
        try:
            keys = self._listing.list(at.record["prefix"], at.tenant, after=at.after, limit=self._page_size)
        except FetchError as error:
            self._failed(at, error)
            return False
        self._waits.pop((at.batch_id, at.index), None)
        self._expander.page(at, keys, last=len(keys) < self._page_size)
        return True

    def _failed(self, at: Expansion, error: FetchError) -> None:
        now = self._clock()
        since, _ = self._waits.get((at.batch_id, at.index), (now, now))
        if not error.transient or now - since > self._patience_seconds:
            self._expander.refuse(at, error.code, str(error))
            log.info("prefix.refused", batch_id=at.batch_id, code=error.code)
            return
        pause = min(max(FIRST_WAIT_SECONDS, now - since), LONGEST_WAIT_SECONDS)
        self._waits[at.batch_id, at.index] = since, now + pause
        log.warning("prefix.postponed", batch_id=at.batch_id, error=repr(error))
