"""The dispatcher process: starts the duties, says that it lives, stops within two seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from workers.dispatcher.duty import Duty, DutyThread
from workers.logs import get_logger

log = get_logger(__name__)

STOP_SECONDS = 2.0
ALIVE_EVERY_SECONDS = 5.0
#: a duty that has not looked for this long makes the process unhealthy
OVERDUE_SECONDS = 120.0


class Dispatcher:
    """Owns one thread per duty."""

    def __init__(
        self, duties: Sequence[Duty], turn: Callable[[str], AbstractContextManager[bool]], *, alive_file: Path
    ) -> None:
        """``turn``: ``Upkeep.duty``. ``alive_file``: touched while every duty runs; the health check looks at it."""
        self._threads = [DutyThread(duty, turn) for duty in duties]
        self._alive_file = alive_file
        self._end = threading.Event()

    def stop(self) -> None:
        """End ``run``; safe in a signal handler."""
        self._end.set()

    def run(self) -> None:
        """Run the duties until ``stop``."""
        for thread in self._threads:
            thread.start()
        log.info("dispatcher.started", duties=[thread.duty.name for thread in self._threads])
        while True:
            self._tell_alive()
            if self._end.wait(ALIVE_EVERY_SECONDS):
                break
        self._stop_all()

    def overdue(self) -> list[str]:
        """Duties that have not looked for too long."""
        now = time.monotonic()
        return [thread.duty.name for thread in self._threads if now - thread.looked_at > OVERDUE_SECONDS]

    def _tell_alive(self) -> None:
        overdue = self.overdue()
        if overdue:
            log.error("dispatcher.overdue", duties=overdue)
            return
        with suppress(OSError):
            self._alive_file.touch()

    def _stop_all(self) -> None:
        for thread in self._threads:
            thread.stop()
        until = time.monotonic() + STOP_SECONDS
        left = [thread.duty.name for thread in self._threads if not thread.join(max(0.0, until - time.monotonic()))]
        # what is cut off in its pass is a daemon thread: its transaction ends with the process, the next pass redoes it
        log.info("dispatcher.stopped", cut_off=left)
