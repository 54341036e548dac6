"""A connection to the very addresses that were checked, with one deadline over everything that happens on it."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Sequence
from typing import Any

import httpcore2


class Deadline:
    """An instant after which nothing is waited for any more."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def extend(self, seconds: float) -> None:
        """Count anew from now."""
        self._at = time.monotonic() + seconds

    def cap(self, timeout: float | None) -> float:
        """Return a time-out that does not outlast the deadline. Raises: httpcore2.ReadTimeout when it is over."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout("the time for this transfer is over")
        return left if timeout is None else min(timeout, left)


class PinnedBackend(httpcore2.NetworkBackend):
    """Connects to given addresses, whatever the host's name may resolve to by now."""

    def __init__(self, addresses: Sequence[str], deadline: Deadline) -> None:
        self._addresses = addresses
        self._deadline = deadline
        self._sockets = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Try the addresses one after the other. Raises: httpcore2.ConnectError, ConnectTimeout."""
        failure: Exception = httpcore2.ConnectError("no address")
        for address in self._addresses:
            try:
                stream = self._sockets.connect_tcp(
                    address, port, self._deadline.cap(timeout), local_address, socket_options
                )
                return _DeadlinedStream(stream, self._deadline)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        """Never: a URL leads to the network alone."""
        raise httpcore2.ConnectError("unix sockets are not fetched from")


class _DeadlinedStream(httpcore2.NetworkStream):
    """Caps every wait, so that a peer which sends a byte now and then cannot hold us for ever."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.cap(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.cap(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        tls = self._stream.start_tls(ssl_context, server_hostname, self._deadline.cap(timeout))
        return _DeadlinedStream(tls, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
