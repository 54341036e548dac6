"""One attempt to deliver a webhook: a signed POST to a public address, no redirects, the answer's head and no more."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import httpcore2

from storage.webhooks.outbox import Attempt, ClaimedEvent
from workers.dispatcher.webhook_schedule import retry_after_seconds
from workers.dispatcher.webhook_signing import signature
from workers.pinned_connection import Deadline
from workers.remote_request import REQUEST_HEADERS, FetchError, FetchRules, Request, exchange, network_errors, parsed


@dataclass(frozen=True, slots=True)
class Answer:
    """How an attempt went, and how long the receiver asks us to wait."""

    attempt: Attempt
    retry_after_seconds: float | None = None

    @property
    def gone(self) -> bool:
        """Whether the receiver wants no more of them, ever."""
        return self.attempt.status == 410


class WebhookSender:
    """Sends under one set of rules; safe to use from many threads."""

    def __init__(self, rules: FetchRules, *, ssl_context: ssl.SSLContext | None = None) -> None:
        """``rules.total_seconds`` bounds the whole attempt. ``ssl_context``: None for the system's authorities."""
        self._rules = rules
        self._ssl_context = ssl_context or httpcore2.default_ssl_context()

    def send(self, event: ClaimedEvent) -> Answer:
        """Send it once; whatever happens on the network is in the answer."""
        begun = time.monotonic()
        try:
            status, retry_after = self._post(event)
        except FetchError as error:
            return Answer(Attempt(None, str(error), time.monotonic() - begun))
        error_text = None if 200 <= status < 300 else f"the receiver answers {status}"
        return Answer(Attempt(status, error_text, time.monotonic() - begun), retry_after)

    def _post(self, event: ClaimedEvent) -> tuple[int, float | None]:
        if not event.secrets:
            raise FetchError("the tenant has no webhook secret to sign with")
        # counted from here: a name that takes long to resolve leaves less time, or none, for the rest
        deadline = Deadline(self._rules.total_seconds)
        url = parsed(event.url)
        body = event.body.encode()
        headers = [("Host", url.authority), *REQUEST_HEADERS, *_headers(event, body)]
        request = Request("POST", url, headers, body)
        with network_errors(), exchange(request, self._rules, deadline, self._ssl_context) as answer:
            # the body is left unread: it says nothing that the status does not, and it may have no end
            found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
            return answer.status, retry_after_seconds(answer.status, found, datetime.now(UTC))


def _headers(event: ClaimedEvent, body: bytes) -> list[tuple[str, str]]:
    timestamp = int(time.time())
    return [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("webhook-id", event.id),
        ("webhook-timestamp", str(timestamp)),
        ("webhook-signature", signature(event.secrets, event.id, timestamp, body)),
    ]
