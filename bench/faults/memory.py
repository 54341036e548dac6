"""Resident memory of every process of a stack over time: whether it grows."""

from __future__ import annotations

import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import psutil

from bench.embedded import EmbeddedStack

EVERY_SECONDS = 5.0
#: of a process's life: caches fill, pools open, the allocator finds its size
WARM_SECONDS = 300.0
#: samples whose median is compared, at the begin and at the end
WINDOW = 6
MIB = 1024**2


class Memory:
    """Looks every five seconds, in a thread."""

    def __init__(self, stack: EmbeddedStack) -> None:
        self._stack = stack
        self._seen: defaultdict[tuple[str, int], list[tuple[float, int]]] = defaultdict(list)

    @contextmanager
    def watched(self) -> Iterator[Memory]:
        """Watch while the block runs."""
        over = threading.Event()

        def look() -> None:
            while not over.wait(EVERY_SECONDS):
                with suppress(AssertionError):  # between two states of a restart
                    self._look()

        thread = threading.Thread(target=look, name="memory", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            over.set()
            thread.join(EVERY_SECONDS + 5)

    def growth_mib(self, warm_seconds: float = WARM_SECONDS) -> Mapping[str, float]:
        """Per process that was seen for long enough: MiB from where it stood when it was warm to where it ended."""
        grown: dict[str, float] = {}
        for (name, pid), samples in self._seen.items():
            begin = samples[0][0] + warm_seconds
            warm = [resident for at, resident in samples if at >= begin]
            if len(warm) >= 2 * WINDOW:
                grown[f"{name} ({pid})"] = (statistics.median(warm[-WINDOW:]) - statistics.median(warm[:WINDOW])) / MIB
        return dict(sorted(grown.items(), key=lambda item: -item[1]))

    def _look(self) -> None:
        now = time.monotonic()
        for name, part in self._stack.state.parts.items():
            if part.pid is not None and name != "postgres":
                self._note(name, part.pid, now)

    def _note(self, name: str, pid: int, now: float) -> None:
        with suppress(psutil.Error):
            main = psutil.Process(pid)
            self._seen[name, pid].append((now, main.memory_info().rss))
            for child in main.children(recursive=True):
                with suppress(psutil.Error):
                    self._seen[f"{name} child", child.pid].append((now, child.memory_info().rss))
