"""An API that answers from a script, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
from framequeue import Client

Answer = httpx2.Response | Exception | Callable[[httpx2.Request], httpx2.Response]


def job(state: str = "queued", **members: Any) -> dict[str, Any]:
    """A job document as the server writes it, as far as it matters here."""
    terminal = state in {"succeeded", "failed", "dead", "canceled"}
    return {"id": "0190", "run": 1, "state": state, "terminal": terminal, "pipeline": "motion", **members}


def answer(status: int = 200, document: Any = None, **headers: str) -> httpx2.Response:
    """A JSON answer."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.Response(status, json=document if document is not None else {}, headers=names)


class FakeApi:
    """Gives its answers in turn; the last one repeats."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx2.Request] = []
        self.bodies: list[bytes] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.bodies.append(request.read())
        self.requests.append(request)
        now = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(now, Exception):
            raise now
        return now(request) if callable(now) else now

    def client(self, **options: Any) -> Client:
        """A client that talks to this API and does not really wait between tries."""
        made = Client("fq_key", "http://api.test", http_transport=httpx2.MockTransport(self), **options)
        self.pauses: list[float] = []
        made._transport._sleep = self.pauses.append
        return made
