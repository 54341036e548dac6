"""Duty: ring where work waits and too few bells do; what makes the loss of any message harmless."""

from __future__ import annotations

from collections.abc import Mapping

from storage.fleet import Fleet
from storage.upkeep import Upkeep
from workers.dispatcher import metrics
from workers.doorbell import Bell, queue_name

Lane = tuple[str, str]


def rings_due(
    ready: Mapping[Lane, int], live: Mapping[Lane, int], lengths: Mapping[Lane, int], *, cap: int
) -> dict[Lane, int]:
    """Return how often to ring each lane: ``min(ready, 2 x live workers) - waiting messages``, at most ``cap`` in all.

    The fullest lanes go first. Without live workers nothing is rung: who starts finds the work at the next pass.
    """
    rings: dict[Lane, int] = {}
    for lane in sorted(ready, key=lambda lane: (-ready[lane], lane)):
        wanted = min(ready[lane], 2 * live.get(lane, 0)) - lengths.get(lane, 0)
        count = min(wanted, cap - sum(rings.values()))
        if count > 0:
            rings[lane] = count
    return rings


class Doorbells:
    """Counts in PostgreSQL, counts in Redis, rings the difference."""

    def __init__(self, upkeep: Upkeep, fleet: Fleet, bell: Bell, *, cap: int = 500) -> None:
        self._upkeep = upkeep
        self._fleet = fleet
        self._bell = bell
        self._cap = cap

    def run_pass(self) -> None:
        """Raises: DatabaseUnavailable, BellSilent."""
        ready, live = self._upkeep.ready_by_lane(), self._fleet.live_by_lane()
        for lane in {*ready, *live}:
            metrics.READY.labels(queue_name(*lane)).set(ready.get(lane, 0))
            metrics.LIVE.labels(queue_name(*lane)).set(live.get(lane, 0))
        lengths = {lane: self._bell.length(queue_name(*lane)) for lane in ready if live.get(lane)}
        for lane, count in rings_due(ready, live, lengths, cap=self._cap).items():
            self._bell.send(queue_name(*lane), count)
            metrics.RINGS.labels(queue_name(*lane)).inc(count)
