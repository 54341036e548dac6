"""The documents of webhooks: secrets, deliveries, endpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from storage.webhooks.deliveries import Delivery, DeliveryState, Endpoint
from web.documents import Document

EndpointState = Literal["ok", "failing", "disabled"]


class WebhookSecretDocument(Document):
    """A secret that signs; the secret itself was shown when it was made."""

    id: str
    created_at: datetime
    expires_at: datetime | None = Field(description="When it signs no more; null for the newest.")


class NewWebhookSecret(Document):
    """A secret, shown this once."""

    id: str
    secret: str = Field(description="whsec_ and base64: give it to whatever verifies your webhooks.")
    created_at: datetime
    expires_at: datetime | None


class WebhookSecretList(Document):
    """Secrets that sign just now, newest first: each adds a signature to every webhook."""

    secrets: Sequence[WebhookSecretDocument]


class DeliveryDocument(Document):
    """A webhook event: one for each terminal state of a run."""

    id: str = Field(description="What the receiver gets as webhook-id, at every attempt.")
    job_id: str
    run: int
    type: str = Field(description="job.succeeded, job.failed, job.dead or job.canceled.")
    url: str
    state: DeliveryState
    attempts: int
    next_at: datetime | None = Field(description="When it is tried next; null when it is not.")
    last_status: int | None = Field(description="HTTP status of the latest attempt; null when there was no answer.")
    last_error: str | None
    created_at: datetime
    delivered_at: datetime | None


class WebhookAttempt(Document):
    """How one attempt went."""

    at: datetime
    status: int | None
    error: str | None
    seconds: float


class DeliveryDetail(DeliveryDocument):
    """A webhook event with what is sent, and how that went."""

    body: Mapping[str, Any]
    log: Sequence[WebhookAttempt] = Field(description="The latest 50 attempts, oldest first.")


class DeliveryList(Document):
    """One page of deliveries, newest first."""

    deliveries: Sequence[DeliveryDocument]
    next_cursor: str | None = Field(description="Give it as cursor to get the next page; null at the end.")


class EndpointDocument(Document):
    """An address that was told of something in the last 30 days."""

    id: str
    url: str
    state: EndpointState
    failing_since: datetime | None = Field(description="Since when nothing was delivered.")
    last_status: int | None
    last_error: str | None
    delivered_at: datetime | None = Field(description="A late delivery, not always the latest.")
    disabled_at: datetime | None = Field(description="When it answered 410; nothing is sent until it is enabled.")
    disabled_why: str | None
    created_at: datetime
    used_at: datetime


class EndpointList(Document):
    """One page of endpoints, newest first."""

    endpoints: Sequence[EndpointDocument]
    next_cursor: str | None = Field(description="Give it as cursor to get the next page; null at the end.")


def delivery_document(row: Delivery) -> DeliveryDocument:
    """Return the document of a delivery in a list."""
    return DeliveryDocument(**_told(row))


def delivery_detail(row: Delivery) -> DeliveryDetail:
    """Return the whole document of a delivery."""
    return DeliveryDetail(**_told(row), body=row.body, log=[WebhookAttempt(**entry) for entry in row.log])


def _told(row: Delivery) -> dict[str, Any]:
    same = DeliveryDocument.model_fields.keys() - {"type"}
    return {name: getattr(row, name) for name in same} | {"type": row.kind}


def endpoint_document(row: Endpoint) -> EndpointDocument:
    """Return the document of an endpoint."""
    state: EndpointState = "disabled" if row.disabled_at else "failing" if row.failing_since else "ok"
    same = EndpointDocument.model_fields.keys() - {"state"}
    return EndpointDocument(state=state, **{name: getattr(row, name) for name in same})
