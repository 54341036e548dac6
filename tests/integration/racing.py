"""Threads that start at one barrier, and whose errors are not lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Answer = TypeVar("Answer")


def together(*calls: Callable[[], Answer], deadline_seconds: float = 60.0) -> Sequence[Answer]:
    """Run the calls at the same moment, each in its own thread; return their answers, raise the first error."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Answer]) -> Answer:
        barrier.wait(deadline_seconds)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(run, call) for call in calls]
        return [future.result(deadline_seconds) for future in futures]
