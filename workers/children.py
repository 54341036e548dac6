"""The main process watches its children: a dead one's claims are free within a second, a shutdown ends in time."""

from __future__ import annotations

import json
import os
import selectors
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass

from workers.logs import get_logger

log = get_logger(__name__)

#: after a stop, children have this long to give back what they hold; then their claims are taken and they are killed
GIVE_BACK_SECONDS = 15.0
#: sooner, they are told once more: an idle one ends at once then, even where Celery's pool waits in vain
NUDGE_SECONDS = 2.0
#: and this much later the main process ends itself, whatever it still waits for
LAST_RESORT_SECONDS = 7.0
#: an idle child that gets it looks for work; by default it is ignored, so it can never come too early
ROUSE = signal.SIGURG


@dataclass(frozen=True, slots=True)
class Child:
    """What a child says of itself when it starts."""

    pid: int
    worker_id: str
    #: its scratch folder, where a watchdog leaves the stack of a hung child
    folder: str


class Children:
    """Made before the fork; one thread of the main process blocks on a pipe and one pidfd per child."""

    def __init__(
        self,
        on_death: Callable[[Child, str], None],
        on_overdue: Callable[[Child], None],
        on_draining: Callable[[], None] = lambda: None,
        *,
        give_back_seconds: float = GIVE_BACK_SECONDS,
        last_resort_seconds: float = LAST_RESORT_SECONDS,
    ) -> None:
        """All are called in the thread: ``on_death`` (child, how it ended), ``on_overdue`` (still there after a stop),
        ``on_draining`` (all children claim no more).
        """
        self._on_death = on_death
        self._on_overdue = on_overdue
        self._on_draining = on_draining
        self._give_back_seconds = give_back_seconds
        self._last_resort_seconds = last_resort_seconds
        self._hear, self._tell = os.pipe()
        self._selector = selectors.DefaultSelector()
        self._by_pidfd: dict[int, Child] = {}
        self._draining: set[str] = set()
        self._nudge_at: float | None = None
        self._overdue_at: float | None = None
        self._buffer = b""
        self._thread = threading.Thread(target=self._run, name="children", daemon=True)

    def start(self) -> None:
        """Watch, in the main process."""
        self._selector.register(self._hear, selectors.EVENT_READ)
        self._thread.start()

    def announce(self, child: Child) -> None:
        """Say, in the child, that it is there."""
        self._write(asdict(child))

    def announce_draining(self, worker_id: str) -> None:
        """Say, in the child, that an operator asked it to claim no more."""
        self._write({"draining": worker_id})

    def rouse(self) -> None:
        """Tell every child to look for work if it is idle; safe from any thread."""
        self._write({"rouse": True})

    def stop(self) -> None:
        """Start the countdown of a shutdown; safe in a signal handler."""
        self._write({"stop": True})

    def _write(self, message: object) -> None:
        # shorter than PIPE_BUF, so lines of several children never mix
        os.write(self._tell, json.dumps(message).encode() + b"\n")

    def _run(self) -> None:
        while True:
            due = [at for at in (self._nudge_at, self._overdue_at) if at is not None]
            for key, _ in self._selector.select(max(0.0, min(due) - time.monotonic()) if due else None):
                if key.fd == self._hear:
                    self._read()
                else:
                    self._bury(key.fd)
            if self._nudge_at is not None and time.monotonic() >= self._nudge_at:
                self._nudge_at = None
                self._send_all(signal.SIGTERM)
            if self._overdue_at is not None and time.monotonic() >= self._overdue_at:
                self._end_overdue()
                return

    def _read(self) -> None:
        *lines, self._buffer = (self._buffer + os.read(self._hear, 65_536)).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "stop" in message:
                self._count_down()
            elif "rouse" in message:
                self._send_all(ROUSE)
            elif "draining" in message:
                self._draining.add(message["draining"])
                if self._draining >= {child.worker_id for child in self._by_pidfd.values()}:
                    self._on_draining()
            else:
                self._watch(Child(**message))

    def _count_down(self) -> None:
        if self._overdue_at is None:
            # of its own: this thread may be waiting for a database that does not answer
            last = threading.Timer(self._give_back_seconds + self._last_resort_seconds, self._end_everything)
            last.daemon = True
            last.start()
            self._nudge_at = time.monotonic() + NUDGE_SECONDS
            self._overdue_at = time.monotonic() + self._give_back_seconds

    def _send_all(self, number: signal.Signals) -> None:
        for child in list(self._by_pidfd.values()):
            with suppress(ProcessLookupError):
                os.kill(child.pid, number)

    def _watch(self, child: Child) -> None:
        try:
            pidfd = os.pidfd_open(child.pid)
        except ProcessLookupError:
            self._report(child, "it ended before it could be watched")
            return
        self._by_pidfd[pidfd] = child
        self._selector.register(pidfd, selectors.EVENT_READ)

    def _bury(self, pidfd: int) -> None:
        child = self._by_pidfd.pop(pidfd)
        self._selector.unregister(pidfd)
        how = how_it_ended(pidfd)
        os.close(pidfd)
        self._report(child, how)

    def _report(self, child: Child, how: str) -> None:
        try:
            self._on_death(child, how)
        except Exception:  # the lease still frees what the child held
            log.exception("child.not_reported", pid=child.pid)

    def _end_overdue(self) -> None:
        """Take what the rest still holds, then kill them."""
        for child in self._by_pidfd.values():
            with suppress(Exception):  # the lease still frees what the child held
                self._on_overdue(child)
        self._send_all(signal.SIGKILL)

    def _end_everything(self) -> None:
        """End the children and this process, whatever they wait for; the lease frees what they held."""
        self._send_all(signal.SIGKILL)
        log.error("worker.ends_itself", children=len(self._by_pidfd))
        os._exit(1)


def how_it_ended(pidfd: int) -> str:
    """Say how a dead child ended, without reaping it; Celery's pool does that."""
    try:
        status = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    except ChildProcessError:
        status = None
    if status is None:
        return "it is gone"
    if status.si_code == os.CLD_EXITED:
        return f"exit status {status.si_status}"
    return f"killed by {signal.Signals(status.si_status).name}"
