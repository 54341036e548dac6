"""Webhooks: secrets, deliveries and endpoints, by the Standard Webhooks specification; and how to verify one."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from framequeue.documents import as_mappings, as_text
from framequeue.errors import FramequeueError
from framequeue.transport import Call, Transport

#: a signature that is older or newer than this is refused, as the specification recommends
TOLERANCE_SECONDS = 300


class WebhookInvalidError(FramequeueError):
    """A delivery that must not be trusted."""

    code = "webhook.invalid"


class Webhooks:
    """The calls under ``/v1/webhooks``; made by ``Client.webhooks``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create_secret(self, *, overlap_seconds: int | None = None) -> Mapping[str, Any]:
        """Make a secret; it is shown this once.

        Earlier ones sign beside it until the overlap is over. Raises: APIError.
        """
        body = {"json": {} if overlap_seconds is None else {"overlap_seconds": overlap_seconds}}
        return self._transport.json(Call("POST", "/v1/webhooks/secrets", body=lambda: body, repeatable=False))

    def secrets(self) -> list[Mapping[str, Any]]:
        """Return the secrets that sign, without the secrets themselves. Raises: APIError."""
        return as_mappings(self._transport.json(Call("GET", "/v1/webhooks/secrets")).get("secrets"))

    def delete_secret(self, secret_id: str) -> None:
        """Sign with it no more. Raises: NotFoundError, APIError."""
        self._transport.send(Call("DELETE", f"/v1/webhooks/secrets/{quote(secret_id, safe='')}"))

    def deliveries(
        self, *, state: str | None = None, job_id: str | None = None, page_size: int = 100
    ) -> Iterator[Mapping[str, Any]]:
        """Yield deliveries, newest first. Raises: APIError."""
        cursor: str | None = None
        while True:
            query = {"state": state, "job_id": job_id, "cursor": cursor, "limit": page_size}
            page = self._transport.json(Call("GET", "/v1/webhooks/deliveries", query=query))
            yield from as_mappings(page.get("deliveries"))
            cursor = as_text(page.get("next_cursor"))
            if cursor is None:
                return

    def delivery(self, event_id: str) -> Mapping[str, Any]:
        """Return one delivery with its attempts. Raises: NotFoundError, APIError."""
        return self._transport.json(Call("GET", _delivery_path(event_id)))

    def resend(self, event_id: str) -> Mapping[str, Any]:
        """Send a delivery again under the same event id. Raises: NotFoundError, APIError."""
        return self._transport.json(Call("POST", f"{_delivery_path(event_id)}/resend", body=lambda: {"json": {}}))

    def endpoints(self) -> list[Mapping[str, Any]]:
        """Return the addresses that were told, and which of them are disabled and why. Raises: APIError."""
        return as_mappings(self._transport.json(Call("GET", "/v1/webhooks/endpoints")).get("endpoints"))

    def enable(self, endpoint_id: str) -> Mapping[str, Any]:
        """Send to a disabled endpoint again. Raises: NotFoundError, APIError."""
        path = f"/v1/webhooks/endpoints/{quote(endpoint_id, safe='')}/enable"
        return self._transport.json(Call("POST", path, body=lambda: {"json": {}}))


def verify(
    body: bytes, headers: Mapping[str, str], secret: str, *, now: float | None = None,
    tolerance_seconds: float = TOLERANCE_SECONDS,
) -> str:  # fmt: skip
    """Check a delivery that was received and return its event id; handle each id once.

    body: the bytes as they came. headers: names in lower case. secret: ``whsec_...``.
    Raises: WebhookInvalidError (a header is missing, the signature is wrong, or it is too old).
    """
    event_id, sent_at = headers.get("webhook-id"), headers.get("webhook-timestamp", "")
    if not event_id or not sent_at.isdecimal():
        raise WebhookInvalidError("webhook-id or webhook-timestamp is missing")
    if abs((time.time() if now is None else now) - int(sent_at)) > tolerance_seconds:
        raise WebhookInvalidError("the delivery is too old, or the clocks disagree")
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise WebhookInvalidError("the secret is not whsec_ and base64") from error
    signed = b".".join([event_id.encode(), sent_at.encode(), body])
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = [word.partition(",") for word in headers.get("webhook-signature", "").split()]
    if not any(version == "v1" and hmac.compare_digest(value.encode(), wanted.encode()) for version, _, value in given):
        raise WebhookInvalidError("no signature fits the secret")
    return event_id


def _delivery_path(event_id: str) -> str:
    return f"/v1/webhooks/deliveries/{quote(event_id, safe='')}"
