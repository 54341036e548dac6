"""Webhook deliveries and endpoints as their tenant sees them: listed, sent again, enabled again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import text

from storage import audit
from storage.audit import Actor
from storage.database import Database
from storage.errors import CursorInvalid, WebhookDisabled, WebhookNotFound
from storage.ids import is_id


class DeliveryState(StrEnum):
    """Where a webhook event stands."""

    #: to be sent, now or at ``next_at`` -> delivered | failed | disabled
    PENDING = "pending"
    #: the receiver answered 2xx
    DELIVERED = "delivered"
    #: given up after 72 h
    FAILED = "failed"
    #: the receiver answered 410, to this event or an earlier one
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One row of ``webhook_events``."""

    id: str
    job_id: str
    run: int
    kind: str
    url: str
    state: str
    attempts: int
    next_at: datetime | None
    last_status: int | None
    last_error: str | None
    created_at: datetime
    delivered_at: datetime | None
    body: Mapping[str, Any]
    #: the latest attempts, oldest first: at, status, error, seconds
    log: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Deliveries, newest first, and the cursor for the next page."""

    deliveries: Sequence[Delivery]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of ``webhook_endpoints``: an address that was told of something, and how that went lately."""

    id: str
    url: str
    created_at: datetime
    used_at: datetime
    delivered_at: datetime | None
    failing_since: datetime | None
    last_status: int | None
    last_error: str | None
    disabled_at: datetime | None
    disabled_why: str | None


@dataclass(frozen=True, slots=True)
class EndpointPage:
    """Endpoints, newest first, and the cursor for the next page."""

    endpoints: Sequence[Endpoint]
    next_cursor: str | None


_DELIVERY = """e.id::text AS id, e.job_id::text AS job_id, e.run, e.kind, e.url, e.state, e.attempts, e.next_at,
    e.last_status, e.last_error, e.created_at, e.delivered_at, e.body, e.log"""

_LIST = f"""
    SELECT {_DELIVERY} FROM webhook_events e WHERE e.tenant = :tenant {{narrowed}} ORDER BY e.id DESC LIMIT :limit
"""  # noqa: S608 - fixed text
_NARROWED = {
    "state": "AND e.state = :state",
    "job_id": "AND e.job_id = CAST(:job_id AS uuid)",
    "cursor": "AND e.id < CAST(:cursor AS uuid)",
}

_GET = text(f"""
    SELECT {_DELIVERY} FROM webhook_events e WHERE e.id = CAST(:id AS uuid) AND e.tenant = :tenant
""")  # noqa: S608 - fixed text

# What is on its way this very moment is left alone; the same id, a fresh 72 h.
_RESEND = text("""
    WITH again AS (
        UPDATE webhook_events e SET
            state = 'pending', next_at = clock_timestamp(), claim_id = NULL, retries = 0, since = clock_timestamp()
        WHERE e.id = CAST(:id AS uuid) AND e.tenant = :tenant AND e.claim_id IS NULL AND NOT EXISTS (
            SELECT FROM webhook_endpoints p WHERE p.tenant = e.tenant AND p.url = e.url AND p.disabled_at IS NOT NULL)
        RETURNING e.job_id, e.run, e.id
    )
    INSERT INTO job_events (job_id, run, kind, data)
    SELECT job_id, run, 'webhook', jsonb_build_object('event', id, 'state', 'pending', 'by', CAST(:by AS text))
    FROM again
""")

_IS_DISABLED = text("""
    SELECT EXISTS (SELECT FROM webhook_endpoints p JOIN webhook_events e ON p.tenant = e.tenant AND p.url = e.url
        WHERE e.id = CAST(:id AS uuid) AND p.disabled_at IS NOT NULL)
""")

_ENDPOINT = """id::text AS id, url, created_at, used_at, delivered_at, failing_since, last_status, last_error,
    disabled_at, disabled_why"""

_ENDPOINTS = text(f"""
    SELECT {_ENDPOINT} FROM webhook_endpoints
    WHERE tenant = :tenant AND (CAST(:cursor AS uuid) IS NULL OR id < CAST(:cursor AS uuid))
    ORDER BY id DESC LIMIT :limit
""")  # noqa: S608 - fixed text

_ENABLE = text(f"""
    UPDATE webhook_endpoints SET
        disabled_at = NULL, disabled_why = NULL, failing_since = NULL, used_at = clock_timestamp()
    WHERE id = CAST(:id AS uuid) AND tenant = :tenant
    RETURNING {_ENDPOINT}
""")  # noqa: S608 - fixed text


class WebhookStore:
    """What a tenant may see and change of its webhooks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(
        self, tenant: str, *, state: DeliveryState | None = None, job_id: str | None = None,
        cursor: str | None = None, limit: int,
    ) -> DeliveryPage:  # fmt: skip
        """Newest first. Raises: CursorInvalid."""
        _check_cursor(cursor)
        if job_id is not None and not is_id(job_id):
            return DeliveryPage([], None)
        wanted = {"state": state, "job_id": job_id, "cursor": cursor}
        given = {name: value for name, value in wanted.items() if value is not None}
        statement = text(_LIST.format(narrowed=" ".join(_NARROWED[name] for name in given)))
        with self._database.transaction() as connection:
            rows = connection.execute(statement, given | {"tenant": tenant, "limit": limit + 1}).all()
        found = [Delivery(**row._mapping) for row in rows[:limit]]
        return DeliveryPage(found, found[-1].id if len(rows) > limit else None)

    def get(self, event_id: str, tenant: str) -> Delivery:
        """Raises: WebhookNotFound, also for another tenant's."""
        with self._database.transaction() as connection:
            row = None
            if is_id(event_id):
                row = connection.execute(_GET, {"id": event_id, "tenant": tenant}).one_or_none()
            if row is None:
                raise WebhookNotFound(f"no webhook delivery {event_id}")
            return Delivery(**row._mapping)

    def resend(self, event_id: str, tenant: str, *, by: Actor) -> Delivery:
        """Send it once more under its id, whatever became of it; what is being sent just now is left alone.

        Raises: WebhookNotFound, WebhookDisabled.
        """
        self.get(event_id, tenant)
        with self._database.transaction() as connection:
            changed = connection.execute(_RESEND, {"id": event_id, "tenant": tenant, "by": by.by}).rowcount
            if not changed and connection.execute(_IS_DISABLED, {"id": event_id}).scalar_one():
                raise WebhookDisabled("its endpoint is disabled; enable that first")
        return self.get(event_id, tenant)

    def endpoints(self, tenant: str, *, cursor: str | None = None, limit: int) -> EndpointPage:
        """Newest first. Raises: CursorInvalid."""
        _check_cursor(cursor)
        with self._database.transaction() as connection:
            wanted = {"tenant": tenant, "cursor": cursor, "limit": limit + 1}
            rows = connection.execute(_ENDPOINTS, wanted).all()
        found = [Endpoint(**row._mapping) for row in rows[:limit]]
        return EndpointPage(found, found[-1].id if len(rows) > limit else None)

    def enable(self, endpoint_id: str, tenant: str, *, by: Actor) -> Endpoint:
        """Send to it again, from the next event on; repeatable. Raises: WebhookNotFound."""
        with self._database.transaction() as connection:
            row = None
            if is_id(endpoint_id):
                row = connection.execute(_ENABLE, {"id": endpoint_id, "tenant": tenant}).one_or_none()
            if row is None:
                raise WebhookNotFound(f"no webhook endpoint {endpoint_id}")
            audit.note(connection, by, "webhook.endpoint.enable", endpoint=endpoint_id)
            return Endpoint(**row._mapping)


def _check_cursor(cursor: str | None) -> None:
    if cursor is not None and not is_id(cursor):
        raise CursorInvalid("the cursor is not one that a listing returned")
