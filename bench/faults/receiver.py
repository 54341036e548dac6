"""A receiver of webhooks that can be away, and can fail by chance; it verifies what it is told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from deploy.local.child import LOOPBACK, free_port


@dataclass
class Receiver:
    """What came in, over all the times that it was there."""

    #: decides whether a request is answered with 500
    fails: Callable[[], bool] = lambda: False
    secret: str = ""
    port: int = field(default_factory=free_port)
    #: attempts by event id, and those that were answered with 204
    attempts: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    #: by event id: what each attempt said; more than one is a broken promise
    bodies: dict[str, set[bytes]] = field(default_factory=dict)
    unsigned: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def address(self) -> str:
        """As a list of allowed hosts takes it."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        """Where jobs send their end."""
        return f"http://{self.address}/hook"

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Be there while the block runs; else connections are refused."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                self.send_response(receiver.take(dict(self.headers), body))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """The figures are what is told."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        with Server((LOOPBACK, self.port), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
            thread.start()
            try:
                yield
            finally:
                server.shutdown()
                thread.join(10)

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """Note one attempt and return the status that it is answered with."""
        event_id = headers.get("webhook-id", "")
        with self._lock:
            self.attempts[event_id] += 1
            self.bodies.setdefault(event_id, set()).add(body)
            if not self._is_signed(headers, body):
                self.unsigned += 1
            if self.fails():
                return 500
            self.accepted[event_id] += 1
            return 204

    def ends(self) -> Counter[tuple[str, int, str]]:
        """How many different event ids told of each end: (job, run, state)."""
        found: Counter[tuple[str, int, str]] = Counter()
        for bodies in self.bodies.values():
            data = json.loads(next(iter(bodies)))["data"]
            found[data["id"], data["run"], data["state"]] += 1
        return found

    def _is_signed(self, headers: dict[str, str], body: bytes) -> bool:
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        signed = b".".join(
            [headers.get("webhook-id", "").encode(), headers.get("webhook-timestamp", "").encode(), body]
        )
        wanted = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return any(hmac.compare_digest(wanted, given) for given in headers.get("webhook-signature", "").split())


def half_of_the_time(chance: random.Random) -> Callable[[], bool]:
    """Whether to fail, by a coin."""
    return lambda: chance.random() < 0.5
