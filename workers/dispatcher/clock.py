"""When silence means loss, and when it was ours: the clock watch of the duty that takes claims back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

#: no look for this long: heartbeats may have failed for the same reason as our looks
MAX_GAP_SECONDS = 5.0
#: database clock and own monotonic clock disagree by this much: one of them jumped, or the machine slept
MAX_SKEW_SECONDS = 2.0


@dataclass(slots=True)
class ClockWatch:
    """Says whether an old heartbeat can be believed; after any gap, one lease must pass first.

    Pure: it is told the time. A frozen database, a stopped virtual machine or a clock set forward make every
    heartbeat look old at once; taking claims back then would run the whole queue twice.
    """

    lease_seconds: float
    _last_monotonic: float | None = None
    _last_database: datetime | None = None
    _quiet_until: float = 0.0

    def look(self, monotonic_seconds: float, database_now: datetime) -> bool:
        """Note both clocks; return whether claims may be taken back now."""
        if self._gap(monotonic_seconds, database_now):
            self._quiet_until = monotonic_seconds + self.lease_seconds
        self._last_monotonic = monotonic_seconds
        self._last_database = database_now
        return monotonic_seconds >= self._quiet_until

    def _gap(self, monotonic_seconds: float, database_now: datetime) -> bool:
        if self._last_monotonic is None or self._last_database is None:
            return True
        passed = monotonic_seconds - self._last_monotonic
        told = (database_now - self._last_database).total_seconds()
        return passed > MAX_GAP_SECONDS or abs(told - passed) > MAX_SKEW_SECONDS
