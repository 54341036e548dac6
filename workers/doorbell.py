"""The doorbell: "there is work in this lane", told through Redis and never waited for.

A message carries nothing: the rows decide. So losing one, sending one twice, or finding the queue full
changes nothing but the second in which a worker looks.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

from celery import Celery
from kombu.connection import Connection

log = logging.getLogger(__name__)

#: name of the one Celery task: look for work, any work
TASK_NAME = "workers.work"

#: a publisher must never wait for a frozen Redis: kombu's own default is to wait without end
PUBLISHER_OPTIONS: Mapping[str, Any] = {
    "socket_timeout": 2.0,
    "socket_connect_timeout": 2.0,
    "socket_keepalive": True,
    "retry_on_timeout": False,
    "max_retries": 0,
}

#: seconds without a try after Redis failed, so that a dead broker costs nothing
PAUSE_AFTER_FAILURE_SECONDS = 1.0


def queue_name(lane: str, size_class: str) -> str:
    """The Celery queue of a lane and class, e.g. ``cpu-short``."""
    return f"{lane}-{size_class}"


def lane_of(queue: str) -> tuple[str, str]:
    """The lane and class of a queue, the reverse of ``queue_name``."""
    lane, _, size_class = queue.rpartition("-")
    return lane, size_class


class BellSilent(Exception):
    """Redis does not answer within about two seconds; a message may have been sent all the same."""


class Bell:
    """Sends doorbell messages, here and now, over one connection; use as a context manager, from one thread.

    After BellSilent the next call connects anew.
    """

    def __init__(self, redis_url: str) -> None:
        """Connects at first use."""
        # an app of its own, not the process's current one: web must not become a Celery app by importing this
        self._app = Celery("doorbell", broker=redis_url, set_as_current=False)
        self._app.conf.update(
            broker_transport_options=dict(PUBLISHER_OPTIONS),
            task_serializer="json",
            accept_content=["json"],
            task_ignore_result=True,
            broker_connection_retry=False,
            broker_pool_limit=0,
        )
        self._connection: Connection | None = None
        probe = self._app.connection_for_write()
        self._errors = (*probe.connection_errors, *probe.channel_errors, OSError)

    def __enter__(self) -> Bell:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def length(self, queue: str) -> int:
        """How many messages wait in a queue. Raises: BellSilent."""
        with self._translated():
            channel: Any = self._open().default_channel
            return int(channel.client.llen(queue))

    def send(self, queue: str, count: int = 1) -> None:
        """Put ``count`` messages into a queue. Raises: BellSilent."""
        with self._translated():
            connection = self._open()
            with self._app.amqp.Producer(connection.default_channel, auto_declare=False) as producer:
                for _ in range(count):
                    self._app.send_task(TASK_NAME, queue=queue, producer=producer, retry=False, ignore_result=True)

    def close(self) -> None:
        """Drop the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*self._errors):
                connection.release()  # type: ignore[no-untyped-call]  # kombu has no annotation here

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            self.close()
            raise BellSilent(f"Redis does not answer: {error}") from error

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = self._app.connection_for_write()
        return self._connection


class Doorbell:
    """Sets a flag and returns; one thread per process looks at the queue's length and sends, coalesced.

    Redis being down, slow or frozen never shows: a lost ring is rung again by the dispatcher.
    """

    def __init__(self, redis_url: str, *, cap: int = 64) -> None:
        """``cap``: queue length from which a ring is not sent. Starts nothing until the first ring (fork-safe)."""
        self._url = redis_url
        self._cap = cap
        self._fresh()
        _reset_after_fork(self)

    def _fresh(self) -> None:
        """Start from nothing; also in a forked child, where the parent's thread does not exist."""
        self._changed = threading.Condition()
        self._wanted: dict[str, int] = {}
        self._in_hand = False
        self._thread: threading.Thread | None = None
        self._closing = False
        #: messages sent, and rings given up because Redis did not answer
        self.sent = 0
        self.failed = 0

    def ring(self, lane: str, size_class: str, count: int = 1) -> None:
        """Say that there is work; returns at once, never raises."""
        queue = queue_name(lane, size_class)
        with self._changed:
            if self._closing:
                return
            self._wanted[queue] = min(self._cap, self._wanted.get(queue, 0) + max(1, count))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="doorbell", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def heard(self, timeout_seconds: float) -> bool:
        """Wait, not long, until Redis has taken every ring so far; False when it has not, or did not answer lately."""
        with self._changed:
            failed = self.failed
            self._changed.wait_for(lambda: self.failed > failed or not (self._wanted or self._in_hand), timeout_seconds)
            return self.failed == failed and not (self._wanted or self._in_hand)

    def close(self, timeout_seconds: float = 2.0) -> None:
        """Try to send what is flagged, then stop the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_seconds)

    def _run(self) -> None:
        with Bell(self._url) as bell:
            while (wanted := self._next()) is not None:
                try:
                    self._send(bell, wanted)
                    self._done()
                except Exception as error:  # noqa: BLE001 - whatever it is, no ring may end this thread
                    self._done(failed=sum(wanted.values()))
                    log.warning("doorbell.failed", extra={"error": repr(error), "queues": sorted(wanted)})
                    self._pause()

    def _next(self) -> dict[str, int] | None:
        """Wait for rings and take them all; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._wanted or self._closing)
            wanted, self._wanted = self._wanted, {}
            self._in_hand = bool(wanted)
            return wanted or None

    def _done(self, failed: int = 0) -> None:
        with self._changed:
            self._in_hand = False
            self.failed += failed
            self._changed.notify_all()

    def _send(self, bell: Bell, wanted: Mapping[str, int]) -> None:
        for queue, count in wanted.items():
            room = min(count, self._cap - bell.length(queue))
            if room > 0:
                bell.send(queue, room)
                self.sent += room

    def _pause(self) -> None:
        until = time.monotonic() + PAUSE_AFTER_FAILURE_SECONDS
        with self._changed:
            self._changed.wait_for(lambda: self._closing, timeout=until - time.monotonic())


def _reset_after_fork(doorbell: Doorbell) -> None:
    """Renew the doorbell in every forked child, for as long as it lives."""
    reference = weakref.ref(doorbell)

    def renew() -> None:
        alive = reference()
        if alive is not None:
            alive._fresh()

    os.register_at_fork(after_in_child=renew)
