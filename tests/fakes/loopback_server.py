"""HTTP servers on loopback whose clients may hang up, and that can be stopped in the middle of an answer."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import ThreadingHTTPServer
from typing import Any


class LoopbackServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Peers that hang up are what these tests are about."""


@contextmanager
def serving(server: LoopbackServer, stopped: threading.Event, *, tls: ssl.SSLContext | None = None) -> Iterator[None]:
    """Serve in a thread of its own; at the end set ``stopped``, by which endless answers end, and stop."""
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        with suppress(OSError):
            server.socket.shutdown(socket.SHUT_RDWR)
        server.shutdown()
        thread.join(5)
