"""Duty: wake what is due, end what has expired, move virtual time on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.upkeep import Upkeep
from workers.dispatcher import metrics
from workers.logs import get_logger

if TYPE_CHECKING:
    from workers.station import Ringer  # loads arrays, which the dispatcher's image does not have

log = get_logger(__name__)


class DueWork:
    """Small and quick; the doorbells follow at once."""

    def __init__(self, upkeep: Upkeep, doorbell: Ringer) -> None:
        self._upkeep = upkeep
        self._doorbell = doorbell

    def run_pass(self) -> None:
        """Raises: DatabaseUnavailable."""
        lanes = self._upkeep.wake_due()
        if lanes:
            metrics.WOKEN.inc()
        for lane, size_class in lanes:
            self._doorbell.ring(lane, size_class)
        expired = self._upkeep.expire()
        if expired:
            metrics.EXPIRED.inc(expired)
            log.info("jobs.expired", count=expired)
        self._upkeep.advance_virtual_time()
