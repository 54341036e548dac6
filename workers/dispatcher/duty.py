"""A duty: one thing the dispatcher does over and over, in a thread of its own, never two replicas at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from storage.errors import StorageError
from workers.dispatcher import metrics
from workers.doorbell import BellSilent
from workers.logs import get_logger

log = get_logger(__name__)


class Pass(Protocol):
    """What a duty does; safe to be run twice at once and to be cut off anywhere."""

    def run_pass(self) -> None:
        """Do what is due now, in bounded batches."""


@dataclass(frozen=True, slots=True)
class Duty:
    """A pass with its name and pace."""

    name: str
    work: Pass
    interval_seconds: float = 1.0
    #: whether replicas take turns by the database's lock; a pass that may take longer than the lock lives does without
    exclusive: bool = True
    #: called before every pass, also when another replica has the lock
    before: Callable[[], None] = lambda: None


class DutyThread:
    """Runs one duty until told to stop; whatever a pass raises is logged, and the next pass comes."""

    def __init__(self, duty: Duty, turn: Callable[[str], AbstractContextManager[bool]]) -> None:
        """``turn``: ``Upkeep.duty``."""
        self.duty = duty
        self._turn = turn
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"duty-{duty.name}", daemon=True)
        self._failed_with: type[Exception] | None = None
        #: monotonic time of the last look, whether or not it was our turn
        self.looked_at = time.monotonic()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no further pass."""
        self._end.set()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the pass under way; return whether the thread has ended."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def look(self) -> None:
        """Run one pass if it is our turn. Raises whatever the pass raises."""
        self.duty.before()
        if not self.duty.exclusive:
            self._pass()
            return
        with self._turn(self.duty.name) as ours:
            if ours:
                self._pass()

    def _pass(self) -> None:
        with metrics.PASS_SECONDS.labels(self.duty.name).time():
            self.duty.work.run_pass()
        metrics.LAST_RUN.labels(self.duty.name).set_to_current_time()

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                self.look()
                self._failed_with = None
            except Exception as error:  # noqa: BLE001 - a duty that ends would end the guarantee it stands for
                self._failed(error)
            self.looked_at = time.monotonic()
            self._end.wait(self.duty.interval_seconds)

    def _failed(self, error: Exception) -> None:
        metrics.FAILURES.labels(self.duty.name, type(error).__name__).inc()
        # an outage is one line, not one a second
        if self._failed_with is type(error):
            return
        self._failed_with = type(error)
        outage = isinstance(error, StorageError | BellSilent)
        log.warning("duty.failed", duty=self.duty.name, error=repr(error), exc_info=None if outage else error)
