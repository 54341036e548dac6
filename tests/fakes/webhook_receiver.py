"""A webhook receiver on loopback that answers, or misbehaves, as a test tells it to."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from standardwebhooks import Webhook

from tests.fakes.loopback_server import LoopbackServer, serving

Behaviour = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Got:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event_id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> dict[str, Any]:
        """The body, if the specification's own library takes the signature; it raises otherwise."""
        return dict(Webhook(secret).verify(self.body, self.headers))


@dataclass
class Receiver:
    """What it was told, and where it is."""

    port: int
    got: list[Got] = field(default_factory=list)
    behaviours: dict[str, list[Behaviour]] = field(default_factory=dict)
    #: ends answers that would go on for ever
    stopped: threading.Event = field(default_factory=threading.Event)
    #: one for each request that came in, before it is answered
    came: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str = "/hook", *, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def behave(self, path: str, *behaviours: Behaviour | int) -> None:
        """Answer requests for a path in this order, the last one for ever; a number is a status."""
        self.behaviours[path] = [status(one) if isinstance(one, int) else one for one in behaviours]

    def wait(self, count: int = 1, seconds: float = 20.0) -> None:
        """Wait until so many more requests have come; fails when they do not."""
        for _ in range(count):
            assert self.came.acquire(timeout=seconds), f"only {len(self.got)} requests came"

    def paths(self) -> list[str]:
        return [got.path for got in self.got]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        queue = self.behaviours.get(handler.path, [status(204)])
        (queue.pop(0) if len(queue) > 1 else queue[0])(handler)


def status(code: int, **headers: str) -> Behaviour:
    """Answer with a status and no body; header names with ``_`` for ``-``."""

    def handle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in ({"Content_Length": "0"} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    return handle


def closing(handler: BaseHTTPRequestHandler) -> None:
    """Hang up without a word."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def half_a_head(handler: BaseHTTPRequestHandler) -> None:
    """Hang up within the answer's head."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-")
    closing(handler)


def nonsense(handler: BaseHTTPRequestHandler) -> None:
    """Answer with something that is not HTTP."""
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    closing(handler)


@contextmanager
def webhook_receiver(
    *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    """Run a receiver, on a free port unless one is given."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append(Got(self.path, dict(self.headers), body))
            receiver.came.release()
            receiver.answer(self)

        def do_GET(self) -> None:
            receiver.got.append(Got(f"GET {self.path}", dict(self.headers), b""))
            receiver.came.release()
            receiver.answer(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with LoopbackServer(("127.0.0.1", port), Handler) as server:
        receiver = Receiver(server.server_port)
        with serving(server, receiver.stopped, tls=tls):
            yield receiver
