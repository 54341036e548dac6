"""How long this process waits for PostgreSQL to answer, kept by the process itself.

``statement_timeout`` is kept by the server and helps nobody whose server is frozen, TCP is content as long as the
kernel over there acknowledges, and libpq waits for ever. So psycopg2 is told to wait by our function, which gives up:
it raises OperationalError, psycopg2 closes the connection, and whether a statement or a commit took effect is unknown.

What this brings along, for the whole process: libpq no longer heeds ``connect_timeout`` (it is kept here), a URL with
several hosts has one deadline for all of them, COPY does not work, and signals are heard while waiting.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE, STATUS_SETUP, set_wait_callback

#: for connections that are made outside of ``answers_within``
CONNECT_TIMEOUT_SECONDS = 3.0

_EVENTS = {POLL_READ: select.POLLIN, POLL_WRITE: select.POLLOUT}


class _Patience(threading.local):
    """What the current thread grants: seconds per answer, and an instant by which all is over."""

    each: float | None = None
    until: float | None = None


_patience = _Patience()


@contextmanager
def answers_within(each: float, *, total: float | None = None) -> Iterator[None]:
    """Let each answer that this thread waits for take so many seconds, and all of them together ``total``.

    Inside, the innermost counts. Without any, connections are made within CONNECT_TIMEOUT_SECONDS and answers may take
    for ever: a migration may.
    """
    before = _patience.each, _patience.until
    _patience.each = each
    _patience.until = None if total is None else time.monotonic() + total
    try:
        yield
    finally:
        _patience.each, _patience.until = before


def _wait(connection: psycopg2.extensions.connection) -> None:
    """Wait for what psycopg2 is waiting for. Raises: OperationalError at the deadline."""
    deadline = _deadline(connection)
    while (state := connection.poll()) != POLL_OK:
        # anew each time: while connecting, libpq may go on to another address and socket
        events = _EVENTS.get(state)
        if events is None:
            raise psycopg2.OperationalError(f"the connection is in state {state}")
        poller = select.poll()
        poller.register(connection.fileno(), events)
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        if not poller.poll(left):
            raise psycopg2.OperationalError("PostgreSQL did not answer in time")


def _deadline(connection: psycopg2.extensions.connection) -> float | None:
    each, until = _patience.each, _patience.until
    if each is None:
        if connection.status != STATUS_SETUP:
            return None
        each = CONNECT_TIMEOUT_SECONDS
    deadline = time.monotonic() + each
    return deadline if until is None else min(deadline, until)


set_wait_callback(_wait)
