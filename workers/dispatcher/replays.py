"""Duty: carry out orders to replay dead letters, each at its own pace."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from storage.dead.replay_steps import ReplaySteps
from workers.dispatcher import metrics
from workers.logs import get_logger

if TYPE_CHECKING:
    from workers.station import Ringer  # loads arrays, which the dispatcher's image does not have

log = get_logger(__name__)

#: the lock that replicas take turns by must not be held idle for longer than some seconds
PASS_SECONDS = 2.0


class Replays:
    """Steps of one order after the other, until all rest or the pass is over."""

    def __init__(
        self,
        steps: ReplaySteps,
        doorbell: Ringer,
        *,
        tell: Callable[[str], None] = lambda job_id: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``tell``: called with the id of each job that runs again, after the commit."""
        self._steps = steps
        self._doorbell = doorbell
        self._tell = tell
        self._clock = clock

    def run_pass(self) -> None:
        """Replay what the orders' pace allows now. Raises: DatabaseUnavailable."""
        ends = self._clock() + PASS_SECONDS
        open_orders = list(self._steps.running())
        while open_orders and self._clock() < ends:
            # in turns, so that a large order does not keep a small one waiting
            open_orders = [order_id for order_id in open_orders if not self._rests(order_id)]

    def _rests(self, order_id: str) -> bool:
        step = self._steps.step(order_id)
        for (lane, size_class), count in step.lanes.items():
            self._doorbell.ring(lane, size_class, count)
        for job_id in step.replayed:
            self._tell(job_id)
        metrics.REPLAYED.inc(len(step.replayed))
        if step.replayed or step.refused:
            log.info("dead.replayed", order=order_id, jobs=len(step.replayed), refused=len(step.refused))
        return step.rests
