"""The watchdog: ends this process when the work in hand stands still, even while C code holds the GIL."""

from __future__ import annotations

import faulthandler
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

#: added to what is left of the runtime, so that the checkpoint's own exception comes first
GRACE_SECONDS = 4.0
#: signs of life closer together than this set the timer once: setting it starts a thread, which takes a millisecond
FINE_SECONDS = 0.25


class Watchdog:
    """One per process: ``faulthandler`` knows one timer. It prints every thread's stack, then ends the process.

    The main process sees the child die, frees its claims, and finds the stack in the file.
    """

    def __init__(
        self,
        stack_file: IO[Any],
        *,
        arm: Callable[..., None] = faulthandler.dump_traceback_later,
        disarm: Callable[[], None] = faulthandler.cancel_dump_traceback_later,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``stack_file`` must be a real file and stay open."""
        self._file = stack_file
        self._arm = arm
        self._disarm = disarm
        self._clock = clock
        self._ends: float | None = None
        self._paused = False
        self._allowance = 0.0
        #: (when, how long) the timer was last set; None while it is off
        self._armed: tuple[float, float] | None = None

    @contextmanager
    def over(self, max_runtime_seconds: float) -> Iterator[None]:
        """Watch the block; no allowance reaches past its runtime. Disarmed at the end, however it ends."""
        self._ends = self._clock() + max_runtime_seconds + GRACE_SECONDS
        try:
            yield
        finally:
            self._ends = None
            self._off()

    def feed(self, allowance_seconds: float) -> None:
        """Something moved: from now the next sign of life has this long."""
        self._allowance = allowance_seconds
        if self._ends is None or self._paused:
            return
        now = self._clock()
        seconds = min(allowance_seconds, max(0.1, self._ends - now))
        if self._armed is not None and self._armed[1] == seconds and now - self._armed[0] < FINE_SECONDS:
            return
        self._arm(seconds, exit=True, file=self._file)
        self._armed = (now, seconds)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not watch the block: it waits for PostgreSQL, with a deadline of its own."""
        self._paused = True
        self._off()
        try:
            yield
        finally:
            self._paused = False
            self.feed(self._allowance)

    def _off(self) -> None:
        self._disarm()
        self._armed = None
