"""A remote source of inputs on loopback that answers as a test tells it to."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.fakes.loopback_server import LoopbackServer, serving


@dataclass
class Source:
    """What was asked of it, and where it is."""

    port: int
    routes: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str], str]] = field(default_factory=list)
    server_names: list[str | None] = field(default_factory=list)
    #: ends answers that would go on for ever
    stopped: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str, *, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def answer(self, path: str, status: int, body: bytes = b"", **headers: str) -> None:
        """Serve a fixed answer; header names with ``_`` for ``-``."""

        def handle(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in ({"Content_Length": str(len(body))} | headers).items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(body)

        self.routes[path] = handle


@contextmanager
def http_source(*, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[Source]:
    """Run a source on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            peer = str(self.connection.getsockname()[0])
            source.requests.append((self.path, dict(self.headers), peer))
            route = source.routes.get(self.path)
            if route is None:
                self.send_error(404)
            else:
                route(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with LoopbackServer((host, 0), Handler) as server:
        source = Source(server.server_port)
        if tls is not None:
            tls.sni_callback = lambda _socket, name, _context: source.server_names.append(name)
        with serving(server, source.stopped, tls=tls):
            yield source
