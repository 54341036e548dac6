"""Memory of process trees, sampled from outside."""

from __future__ import annotations

import threading
from types import TracebackType

import psutil

MIB = 1024**2


def tree_bytes(pid: int) -> int:
    """Resident bytes of a process and all its descendants, shared pages counted once (PSS)."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            total += _bytes(process)
    except psutil.NoSuchProcess:
        return total
    return total


class Peak:
    """Context that samples a tree every 50 ms; ``bytes`` is the highest sum seen."""

    def __init__(self, pid: int) -> None:
        self.start_bytes = self.bytes = tree_bytes(pid)
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory-peak", daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    @property
    def grown_bytes(self) -> int:
        return self.bytes - self.start_bytes

    def _sample(self) -> None:
        while not self._over.wait(0.05):
            self.bytes = max(self.bytes, tree_bytes(self._pid))


def _bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return 0
