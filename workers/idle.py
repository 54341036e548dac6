"""Idle workers: they look for work now and then without any bell, and one that is deaf connects to Redis anew."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from workers.doorbell import Bell, BellSilent, queue_name
from workers.flags import SharedFlags
from workers.logs import get_logger

log = get_logger(__name__)

#: a worker that hears nothing for so long looks for itself, again and again
LOOK_SECONDS = 5.0
#: looks in a row that must find messages nobody hears: a single one may have come this very moment
DEAF_LOOKS = 2


def is_deaf(*, idle_seconds: float, unheard_seconds: float, messages: int, limit_seconds: float) -> bool:
    """Whether bells wait although this worker has nothing else to do, and none was heard for long."""
    return messages > 0 and idle_seconds >= LOOK_SECONDS and unheard_seconds > limit_seconds


class IdleWatch:
    """One thread of the main process, which looks every five seconds whether bells are heard.

    Where none is, idle children look for themselves: work is done though every bell was lost, and though Redis is away.
    """

    def __init__(
        self,
        redis_url: str,
        flags: SharedFlags,
        served: Sequence[tuple[str, str]],
        *,
        on_unheard: Callable[[], None],
        on_deaf: Callable[[], None],
        limit_seconds: float,
    ) -> None:
        """``served``: (lane, size_class) pairs. ``on_unheard``: called while no bell is heard; ``on_deaf``: once."""
        self._redis_url = redis_url
        self._flags = flags
        self._served = tuple(served)
        self._on_unheard = on_unheard
        self._on_deaf = on_deaf
        self._limit = limit_seconds
        self._deaf_looks = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="idle", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._end.set()

    def deaf(self) -> bool:
        """Look once. Raises: BellSilent."""
        idle, unheard = self._flags.idle_seconds, self._flags.unheard_seconds
        if unheard <= self._limit or idle < LOOK_SECONDS:
            self._deaf_looks = 0
            return False
        with Bell(self._redis_url) as bell:
            messages = sum(bell.length(queue_name(*pair)) for pair in self._served)
        found = is_deaf(idle_seconds=idle, unheard_seconds=unheard, messages=messages, limit_seconds=self._limit)
        self._deaf_looks = self._deaf_looks + 1 if found else 0
        return self._deaf_looks >= DEAF_LOOKS

    def _run(self) -> None:
        while not self._end.wait(LOOK_SECONDS):
            if self._flags.stopping:
                return
            try:
                if self._flags.unheard_seconds >= LOOK_SECONDS:
                    self._on_unheard()
                if self.deaf():
                    log.warning("worker.is_deaf", unheard_seconds=round(self._flags.unheard_seconds, 1))
                    self._on_deaf()
                    return
            except BellSilent as error:
                log.info("idle.redis_silent", error=repr(error))
            except Exception:  # a thread that ends would leave a deaf worker deaf
                log.exception("idle.error")
