"""Webhooks: the secrets that sign them, how their deliveries went, and endpoints that wanted no more."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from storage.webhooks.deliveries import DeliveryState
from web.answers import answer
from web.auth import scope
from web.context import base_url, caller, services
from web.queries import PAGE_MAX, Query
from web.webhook_documents import (
    DeliveryDetail,
    DeliveryList,
    EndpointDocument,
    EndpointList,
    NewWebhookSecret,
    WebhookSecretDocument,
    WebhookSecretList,
    delivery_detail,
    delivery_document,
    endpoint_document,
)

bp = APIBlueprint("webhooks", __name__, url_prefix="/v1/webhooks", tag="Webhooks")

OVERLAP_SECONDS_MAX = 30 * 86_400


class SecretOrder(BaseModel):
    """A new secret, and what becomes of those before it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    overlap_seconds: int = Field(
        86_400, ge=0, le=OVERLAP_SECONDS_MAX, description="How long earlier secrets sign beside the new one."
    )


class DeliveriesQuery(Query):
    """Of GET /v1/webhooks/deliveries."""

    state: DeliveryState | None = None
    job_id: str | None = Field(None, max_length=100)
    cursor: str | None = Field(None, max_length=200)
    limit: int = Field(50, ge=1, le=PAGE_MAX)


class EndpointsQuery(Query):
    """Of GET /v1/webhooks/endpoints."""

    cursor: str | None = Field(None, max_length=200)
    limit: int = Field(PAGE_MAX, ge=1, le=PAGE_MAX)


@bp.post("/secrets")
@scope("submit")
@bp.input(SecretOrder)
@bp.output(NewWebhookSecret, 201)
def create_secret(json_data: SecretOrder) -> Response:
    """Make a secret that signs your webhooks; it is shown this once.

    Earlier ones go on signing beside it until the overlap is over, so that receivers can change without a gap.
    """
    overlap = json_data.overlap_seconds
    row, secret = services().webhook_secrets.create(caller().tenant, overlap_seconds=overlap, by=caller().actor)
    document = NewWebhookSecret(id=row.id, secret=secret, created_at=row.created_at, expires_at=row.expires_at)
    return answer(document, 201, {"Cache-Control": "no-store"})


@bp.get("/secrets")
@scope("read")
@bp.output(WebhookSecretList)
def list_secrets() -> Response:
    """List the secrets that sign just now, without the secrets themselves."""
    rows = services().webhook_secrets.list(caller().tenant)
    secrets = [WebhookSecretDocument(id=row.id, created_at=row.created_at, expires_at=row.expires_at) for row in rows]
    return answer(WebhookSecretList(secrets=secrets))


@bp.delete("/secrets/<secret_id>")
@scope("submit")
@bp.output({}, 204)
def delete_secret(secret_id: str) -> Response:
    """Sign with a secret no more, at once; without any, webhooks wait and are given up after 72 hours."""
    services().webhook_secrets.delete(secret_id, caller().tenant, by=caller().actor)
    return Response(status=204)


@bp.get("/deliveries")
@scope("read")
@bp.input(DeliveriesQuery, location="query")
@bp.output(DeliveryList)
def list_deliveries(query_data: DeliveriesQuery) -> Response:
    """List deliveries of the last 30 days, newest first."""
    page = services().webhooks.list(
        caller().tenant,
        state=query_data.state,
        job_id=query_data.job_id,
        cursor=query_data.cursor,
        limit=query_data.limit,
    )
    deliveries = [delivery_document(row) for row in page.deliveries]
    return answer(DeliveryList(deliveries=deliveries, next_cursor=page.next_cursor))


@bp.get("/deliveries/<event_id>")
@scope("read")
@bp.output(DeliveryDetail)
def get_delivery(event_id: str) -> Response:
    """Look at a delivery: what is sent, and how each attempt went."""
    return answer(delivery_detail(services().webhooks.get(event_id, caller().tenant)))


@bp.post("/deliveries/<event_id>/resend")
@scope("submit")
@bp.output(DeliveryDetail, 202)
def resend_delivery(event_id: str) -> Response:
    """Send a delivery once more under the same id, whatever became of it; it is tried for another 72 hours."""
    row = services().webhooks.resend(event_id, caller().tenant, by=caller().actor)
    return answer(delivery_detail(row), 202, {"Location": f"{base_url()}/v1/webhooks/deliveries/{row.id}"})


@bp.get("/endpoints")
@scope("read")
@bp.input(EndpointsQuery, location="query")
@bp.output(EndpointList)
def list_endpoints(query_data: EndpointsQuery) -> Response:
    """List the addresses that were told of something lately: which fail, since when, and which are disabled."""
    page = services().webhooks.endpoints(caller().tenant, cursor=query_data.cursor, limit=query_data.limit)
    endpoints = [endpoint_document(row) for row in page.endpoints]
    return answer(EndpointList(endpoints=endpoints, next_cursor=page.next_cursor))


@bp.post("/endpoints/<endpoint_id>/enable")
@scope("submit")
@bp.output(EndpointDocument)
def enable_endpoint(endpoint_id: str) -> Response:
    """Send to an endpoint again that has answered 410. What was disabled meanwhile is sent when you resend it."""
    row = services().webhooks.enable(endpoint_id, caller().tenant, by=caller().actor)
    return answer(endpoint_document(row))
