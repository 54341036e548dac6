"""What hurts the stack: faults on real processes, each recorded with the database's time and what its victim held."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil

from bench.embedded import EmbeddedStack
from bench.faults.books import Books
from deploy.local.child import Identity, group_members, identify


@dataclass(slots=True)
class Injection:
    """One fault, as the reader of the history needs it."""

    #: kill, freeze, stop, restart, ...; what it does to a claim is told by ``loses``
    kind: str
    #: such as "worker-2 child 4711", "redis"
    victim: str
    #: by the database's clock, seconds since the epoch
    at: float
    #: fleet ids of the worker processes that were hit
    worker_ids: Sequence[str] = ()
    #: what they held
    segment_ids: Sequence[str] = ()
    claim_ids: Sequence[str] = ()
    #: when it was undone
    until: float | None = None

    def __str__(self) -> str:
        held = f", which held {len(self.segment_ids)}" if self.worker_ids else ""
        return f"{self.kind} {self.victim}{held}"


class Nemesis:
    """Signals processes of one stack; whatever it froze, it lets go at the end. For any thread."""

    def __init__(self, stack: EmbeddedStack, books: Books, tell: Callable[[Injection], None]) -> None:
        """``tell``: hears of every fault right after it was injected."""
        self._stack = stack
        self._books = books
        self._tell = tell
        self._frozen: dict[int, Identity] = {}
        self._lock = threading.Lock()

    def children(self, part: str) -> list[int]:
        """The pids of a worker's processes that are in the fleet; none while it starts anew."""
        with suppress(psutil.NoSuchProcess, AssertionError):
            tree = [process.pid for process in psutil.Process(self._stack.pid(part)).children(recursive=True)]
            return sorted(holder.pid for holder in self._books.holders(tree))
        return []

    def kill_child(self, part: str, pid: int) -> Injection | None:
        """SIGKILL one process of a worker; None when it was gone already."""
        process = identify(pid)
        return self._kill(f"{part} child {pid}", [process] if process else [])

    def kill_tree(self, part: str) -> Injection | None:
        """SIGKILL every process of a part at once; None when it does not run."""
        return self._kill(f"{part} and its children" if part.startswith("worker") else part, self._processes(part))

    def freeze(self, part: str) -> Injection | None:
        """SIGSTOP every process of a part; None when it does not run."""
        return self.freeze_processes(part, self._processes(part))

    def freeze_processes(self, victim: str, processes: Sequence[Identity]) -> Injection | None:
        """SIGSTOP these; None when none is alive."""
        stopped = self._stop(processes)
        if not stopped:
            return None
        return self._record("freeze", victim, stopped)

    def thaw(self, injection: Injection | None = None) -> None:
        """SIGCONT everything that was frozen, and note on the injection when."""
        with self._lock:
            frozen, self._frozen = self._frozen, {}
        if injection is not None:  # before it: what it does next comes after
            injection.until = self._books.now()
        for process in frozen.values():
            _signal(process, signal.SIGCONT)

    @contextmanager
    def frozen(self, part: str) -> Iterator[Injection | None]:
        """A part is frozen while the block runs."""
        injection = self.freeze(part)
        try:
            yield injection
        finally:
            self.thaw(injection)

    def stop(self, part: str) -> Injection:
        """SIGTERM a part and leave it stopped, as an operator does."""
        return self._ask("stop", part)

    def restart(self, part: str) -> Injection:
        """SIGTERM a part and start it again."""
        return self._ask("restart", part)

    def start(self, part: str, injection: Injection | None = None) -> None:
        """Start a part that was stopped or killed, at once and not when the launcher's patience is over."""
        self._stack.order("start", part)
        if injection is not None:
            injection.until = self._books.now()

    def _ask(self, verb: str, part: str) -> Injection:
        injection = self._record(verb, part, self._processes(part))
        self._stack.order(verb, part)
        injection.until = self._books.now() if verb == "restart" else None
        return injection

    def _kill(self, victim: str, processes: Sequence[Identity]) -> Injection | None:
        # stopped before it is looked at: what it holds then is what it holds when it dies
        stopped = self._stop(processes)
        if not stopped:
            return None
        injection = self._record("kill", victim, stopped)
        for process in stopped:
            _signal(process, signal.SIGKILL)
            with self._lock:
                self._frozen.pop(process.pid, None)
        return injection

    def _stop(self, processes: Sequence[Identity]) -> list[Identity]:
        stopped = [process for process in processes if _signal(process, signal.SIGSTOP)]
        with self._lock:
            self._frozen |= {process.pid: process for process in stopped}
        return stopped

    def _record(self, kind: str, victim: str, processes: Sequence[Identity]) -> Injection:
        injection = Injection(kind, victim, self._books.now())
        if victim.startswith("worker"):
            holders = self._books.holders([process.pid for process in processes])
            injection.worker_ids = [holder.worker_id for holder in holders]
            injection.segment_ids = [one for holder in holders for one in holder.segment_ids]
            injection.claim_ids = [one for holder in holders for one in holder.claim_ids]
        self._tell(injection)
        return injection

    def _processes(self, part: str) -> list[Identity]:
        """The part's process group; its cages, in sessions of their own, die with it."""
        leader = self._stack.part(part).identity
        # told apart from a later process of the same number: that one's group is not ours to hurt
        return group_members(leader.pid) if leader is not None and leader.alive() else []


def _signal(process: Identity, sig: signal.Signals) -> bool:
    if not process.alive():
        return False
    with suppress(ProcessLookupError):
        os.kill(process.pid, sig)
        return True
    return False
