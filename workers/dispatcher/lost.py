"""Duty: take back what silent workers held."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from storage.fleet import LEASE_SECONDS, Fleet
from storage.upkeep import Upkeep
from workers.dispatcher import metrics
from workers.dispatcher.clock import ClockWatch
from workers.logs import get_logger

if TYPE_CHECKING:
    from workers.station import Ringer  # loads arrays, which the dispatcher's image does not have

log = get_logger(__name__)

FORGET_EVERY_SECONDS = 3600.0


class LostClaims:
    """Believes a silence only after its own clock and the database's have run evenly for a lease."""

    def __init__(
        self,
        fleet: Fleet,
        upkeep: Upkeep,
        doorbell: Ringer,
        *,
        lease_seconds: float = LEASE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fleet = fleet
        self._upkeep = upkeep
        self._doorbell = doorbell
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._watch = ClockWatch(lease_seconds)
        self._believed = False
        self._forgot_at = clock()

    def look(self) -> None:
        """Note both clocks; every replica does, so that the next in turn need not wait. Raises: DatabaseUnavailable."""
        self._believed = self._watch.look(self._clock(), self._upkeep.clock())

    def run_pass(self) -> None:
        """Free the claims of workers whose lease ran out. Raises: DatabaseUnavailable."""
        if not self._believed:
            return
        lost = self._fleet.lose_silent(self._lease_seconds)
        if lost.segments:
            metrics.LOST.inc(lost.segments)
            log.warning("claims.lost", segments=lost.segments, buried=lost.buried)
        for lane, size_class in lost.lanes:
            self._doorbell.ring(lane, size_class)
        if self._clock() - self._forgot_at > FORGET_EVERY_SECONDS:
            self._forgot_at = self._clock()
            self._upkeep.forget_workers()
