"""A worker that hears no bell although messages wait: its connection to Redis is broken in a way nobody noticed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from storage.depth import Depth
from storage.errors import StorageError
from workers.doorbell import Bell, BellSilent, queue_name
from workers.flags import SharedFlags
from workers.logs import get_logger

log = get_logger(__name__)

LOOK_SECONDS = 10.0


def is_deaf(*, idle_seconds: float, oldest_ready_seconds: float, messages: int, limit_seconds: float) -> bool:
    """Whether this worker must connect anew: nothing done for long, though work waits and the bell was rung."""
    return messages > 0 and idle_seconds > limit_seconds and oldest_ready_seconds > limit_seconds


class IdleWatch:
    """One thread of the main process, which looks every ten seconds, and asks anyone only when all children idle."""

    def __init__(
        self,
        depth: Depth,
        redis_url: str,
        flags: SharedFlags,
        served: Sequence[tuple[str, str]],
        on_deaf: Callable[[], None],
        *,
        limit_seconds: float,
    ) -> None:
        """``served``: (lane, size_class) pairs. ``on_deaf`` is called once."""
        self._depth = depth
        self._redis_url = redis_url
        self._flags = flags
        self._served = frozenset(served)
        self._on_deaf = on_deaf
        self._limit = limit_seconds
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="idle", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._end.set()

    def deaf(self) -> bool:
        """Look once. Raises: DatabaseUnavailable, BellSilent."""
        idle = self._flags.idle_seconds
        if idle <= self._limit:
            return False
        ages = [
            lane.oldest_ready_seconds or 0.0
            for lane in self._depth.lanes()
            if (lane.lane, lane.size_class) in self._served
        ]
        oldest = max(ages, default=0.0)
        if oldest <= self._limit:
            return False
        with Bell(self._redis_url) as bell:
            messages = sum(bell.length(queue_name(*pair)) for pair in self._served)
        return is_deaf(idle_seconds=idle, oldest_ready_seconds=oldest, messages=messages, limit_seconds=self._limit)

    def _run(self) -> None:
        while not self._end.wait(LOOK_SECONDS):
            try:
                if not self._flags.stopping and self.deaf():
                    log.warning("worker.is_deaf", idle_seconds=round(self._flags.idle_seconds, 1))
                    self._on_deaf()
                    return
            except (StorageError, BellSilent) as error:
                log.warning("idle.not_looked", error=repr(error))
            except Exception:  # a thread that ends would leave a deaf worker deaf
                log.exception("idle.error")
