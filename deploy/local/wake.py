"""The launcher's one place to wait: signals, the ends of children and commands wake it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType

#: a signal so soon after the first is the same request
AGAIN_SECONDS = 1.0


class StopRequested(Exception):
    """SIGINT or SIGTERM came."""


class Wake:
    """Context that takes over the signals of the main thread; ``wait`` blocks until something happened."""

    def __init__(self, control: Path) -> None:
        self._control_path = control
        self.stop_requested = False
        self._asked = 0.0
        #: called when asked a second time: do not wait for anything to end by itself
        self.on_hurry: Callable[[], None] = lambda: None

    def __enter__(self) -> Wake:
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)
        self._control_path.unlink(missing_ok=True)
        os.mkfifo(self._control_path, 0o600)
        # read and write, so that there is never an end of file when a writer goes
        self._control = os.open(self._control_path, os.O_RDWR | os.O_NONBLOCK)
        self._old_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._old = {sig: signal.signal(sig, self._stop) for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        self._old[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sig, handler in self._old.items():
            signal.signal(sig, handler)
        signal.set_wakeup_fd(self._old_fd)
        self._reader.close()
        self._writer.close()
        os.close(self._control)
        self._control_path.unlink(missing_ok=True)

    def wait(self, timeout_seconds: float | None) -> list[str]:
        """Block until a signal, a command or the time; return the commands that came. Raises: StopRequested."""
        self.check()
        select.select([self._reader, self._control], [], [], timeout_seconds)
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(4096)
        self.check()
        with contextlib.suppress(BlockingIOError):
            return os.read(self._control, 4096).decode(errors="replace").splitlines()
        return []

    def check(self) -> None:
        """Raise StopRequested when it is time to end."""
        if self.stop_requested:
            raise StopRequested

    def _stop(self, number: int, frame: FrameType | None) -> None:
        # one request may come as two signals: to us, and to our group
        if self.stop_requested and time.monotonic() - self._asked > AGAIN_SECONDS:
            self.on_hurry()
        elif not self.stop_requested:
            self.stop_requested, self._asked = True, time.monotonic()
