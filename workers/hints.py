"""Hints: "this job has changed", through a capped Redis stream; losing one costs a slow re-check.

Waiting clients hear every change; workers hear cancels, on a stream of their own (``CANCELS``).
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import redis

log = logging.getLogger(__name__)

#: seconds one XREAD blocks; the socket waits a little longer, so that a frozen Redis is noticed
BLOCK_SECONDS = 5.0
SOCKET_SECONDS = 2.0
PAUSE_AFTER_FAILURE_SECONDS = 1.0
#: the stream of jobs that were canceled or erased, for the workers that run them
CANCELS = "fq:cancels"
#: hints kept while Redis is slow; older ones are dropped, their waiters re-check by themselves
BACKLOG = 1000


class Hints:
    """Publishing side (``tell``: never blocks or raises) and waiting side (``wait``), one thread per process each."""

    def __init__(self, redis_url: str, *, stream: str = "fq:hints", max_length: int = 10_000) -> None:
        """Starts nothing until first use (fork-safe)."""
        self._url = redis_url
        self._stream = stream
        self._max_length = max_length
        self._fresh()
        _reset_after_fork(self)

    def _fresh(self) -> None:
        """Start from nothing; also in a forked child, where the parent's threads do not exist."""
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._told: deque[str] = deque(maxlen=BACKLOG)
        self._waiters: dict[str, list[threading.Event]] = {}
        self._teller: threading.Thread | None = None
        self._listener: threading.Thread | None = None
        self._listening: redis.Redis | None = None
        self._on_hint: Callable[[str], None] | None = None
        #: hints given up because Redis did not answer
        self.failed = 0

    def tell(self, job_id: str) -> None:
        """Say that a job's row has changed."""
        with self._changed:
            if self._closed.is_set():
                return
            if job_id not in self._told:
                self._told.append(job_id)
            if self._teller is None:
                self._teller = threading.Thread(target=self._run_teller, name="hints-tell", daemon=True)
                self._teller.start()
            self._changed.notify_all()

    def wait(self, job_id: str, timeout_seconds: float) -> bool:
        """Block until a hint for the job comes or the time is over; True for a hint.

        A hint that came before the call is not seen: read the row, wait, read it again, with a bounded wait.
        """
        waiter = threading.Event()
        with self._changed:
            if self._closed.is_set():
                return False
            self._waiters.setdefault(job_id, []).append(waiter)
            self._start_listener()
        try:
            return waiter.wait(timeout_seconds) and not self._closed.is_set()
        finally:
            self._forget(job_id, waiter)

    def listen(self, on_hint: Callable[[str], None]) -> None:
        """Call ``on_hint`` with the job of every hint from now on, in the listening thread."""
        with self._changed:
            self._on_hint = on_hint
            self._start_listener()

    def close(self) -> None:
        """Stop both threads; wake all waiters."""
        with self._changed:
            self._closed.set()
            self._changed.notify_all()
            threads = [self._teller, self._listener]
            for waiters in self._waiters.values():
                for waiter in waiters:
                    waiter.set()
        client = self._listening
        if client is not None:
            client.close()
        for thread in threads:
            if thread is not None:
                thread.join(SOCKET_SECONDS)

    def _start_listener(self) -> None:
        if self._listener is None:
            self._listener = threading.Thread(target=self._run_listener, name="hints-wait", daemon=True)
            self._listener.start()

    def _forget(self, job_id: str, waiter: threading.Event) -> None:
        with self._changed:
            waiters = self._waiters.get(job_id, [])
            if waiter in waiters:
                waiters.remove(waiter)
            if not waiters:
                self._waiters.pop(job_id, None)

    def _client(self, socket_seconds: float) -> redis.Redis:
        return redis.Redis.from_url(
            self._url,
            socket_timeout=socket_seconds,
            socket_connect_timeout=SOCKET_SECONDS,
            socket_keepalive=True,
            decode_responses=True,
        )

    def _run_teller(self) -> None:
        with self._client(SOCKET_SECONDS) as client:
            while told := self._take():
                try:
                    with client.pipeline(transaction=False) as pipe:
                        for job_id in told:
                            pipe.xadd(self._stream, {"job": job_id}, maxlen=self._max_length, approximate=True)
                        pipe.execute()
                except (redis.RedisError, OSError) as error:
                    self.failed += len(told)
                    log.warning("hints.not_told", extra={"error": repr(error), "count": len(told)})
                    self._closed.wait(PAUSE_AFTER_FAILURE_SECONDS)

    def _take(self) -> list[str]:
        """Wait for hints to tell and take them all; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._told or self._closed.is_set())
            told = list(self._told)
            self._told.clear()
            return told

    def _run_listener(self) -> None:
        last = "$"
        with self._client(BLOCK_SECONDS + SOCKET_SECONDS) as client:
            self._listening = client
            while not self._closed.is_set():
                try:
                    last = self._listen(client, last)
                except (redis.RedisError, OSError, ValueError) as error:
                    if self._closed.is_set():
                        return
                    log.warning("hints.not_heard", extra={"error": repr(error)})
                    self._closed.wait(PAUSE_AFTER_FAILURE_SECONDS)

    def _listen(self, client: redis.Redis, last: str) -> str:
        """Read one block of hints after ``last``, wake their waiters, and return the new place."""
        if last == "$":
            newest: Any = client.xrevrange(self._stream, count=1)
            last = newest[0][0] if newest else "0-0"
        answer: Any = client.xread({self._stream: last}, count=1000, block=int(BLOCK_SECONDS * 1000))
        for _, entries in answer.items() if isinstance(answer, dict) else answer or []:
            for place, fields in _flat(entries):
                last = place
                self._wake(fields.get("job", ""))
        return last

    def _wake(self, job_id: str) -> None:
        if self._on_hint is not None:
            self._on_hint(job_id)
        with self._changed:
            for waiter in self._waiters.get(job_id, ()):
                waiter.set()


def _flat(entries: Any) -> list[tuple[str, dict[str, str]]]:
    """Entries of one stream, as RESP2 (a list of pairs) and RESP3 (that list inside a list) give them."""
    if len(entries) == 1 and entries and isinstance(entries[0], list):
        return list(entries[0])
    return list(entries)


def _reset_after_fork(hints: Hints) -> None:
    """Renew the hints in every forked child, for as long as they live."""
    reference = weakref.ref(hints)

    def renew() -> None:
        alive = reference()
        if alive is not None:
            alive._fresh()

    os.register_at_fork(after_in_child=renew)
