"""Webhook events on their way: taken with a lease, settled by who holds it, given up or forgotten in time.

A claim moves ``next_at`` ahead by one lease and stamps a fresh ``claim_id``; every settling write names it. Of an event
whose sender died the lease runs out, and it is due again: sent at least once, by one sender at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.engine import Connection

from storage.database import Database
from storage.ids import new_id
from storage.jsonb import clean_text, dump
from storage.webhooks.deliveries import DeliveryState
from storage.webhooks.outbox_sql import (
    CLAIM,
    DISABLE_REST,
    FAILING,
    FORGET_ENDPOINTS,
    FORGET_EVENTS,
    PENDING,
    SETTLE,
    VISIT,
)

#: attempts that an event remembers
LOG_MAX = 50
#: events that one statement disables
DISABLED_AT_ONCE = 500
_ERROR_CHARACTERS = 500


@dataclass(frozen=True, slots=True, order=True)
class Receiver:
    """Who is told: a tenant's server, as ``scheme://host:port``; how it does is no other receiver's trouble."""

    tenant: str
    address: str


#: before every receiver
FIRST = Receiver("", "")


@dataclass(frozen=True, slots=True)
class ClaimedEvent:
    """An event in a sender's hand, with all that sending it takes."""

    id: str
    claim_id: str
    receiver: Receiver
    job_id: str
    url: str
    #: the very text that is signed and sent, the same at every attempt
    body: str = field(repr=False)
    #: attempts before this one, in all and since it was last put on its way
    attempts: int
    retries: int
    #: seconds since it was made, or sent again by hand
    age_seconds: float
    secrets: Sequence[bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one attempt went: an answer's status, or why there was none."""

    status: int | None
    error: str | None
    seconds: float

    @property
    def delivered(self) -> bool:
        """Whether the receiver has it."""
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Pending:
    """How many events wait, and how long the one that is most overdue has been due."""

    count: int
    overdue_seconds: float


@dataclass(frozen=True, slots=True)
class FailingEndpoint:
    """An endpoint that has answered nothing well for long; without its URL, which may hold a token."""

    id: str
    tenant: str
    receiver: str
    hours: float
    last_status: int | None


class WebhookOutbox:
    """Conditional writes on ``webhook_events``; locks the event, then its endpoint."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def receivers(self, after: Receiver, limit: int) -> Mapping[Receiver, bool]:
        """Return the next receivers with pending events, in order and once around, and whether one is due there."""
        with self._database.transaction() as connection:
            found = _visited(connection, after, limit)
            if len(found) < limit and after > FIRST:
                found |= _visited(connection, FIRST, limit - len(found))
            return found

    def claim(self, rooms: Mapping[Receiver, int], *, lease_seconds: float, base_url: str) -> Sequence[ClaimedEvent]:
        """Take due events, at most so many of each receiver; those of disabled endpoints are disabled instead.

        ``base_url``: the API as clients reach it; the first claim writes an event's links, and they stay as they are.
        """
        claim_id = new_id()
        wanted = {
            "tenants": [receiver.tenant for receiver in rooms],
            "receivers": [receiver.address for receiver in rooms],
            "rooms": list(rooms.values()),
            "claim_id": claim_id,
            "lease_seconds": lease_seconds,
            "base_url": base_url,
        }
        with self._database.transaction() as connection:
            rows = connection.execute(CLAIM, wanted)
            return [_claimed(row._asdict(), claim_id) for row in rows]

    def delivered(self, event: ClaimedEvent, attempt: Attempt) -> bool:
        """The receiver has it; False when another sender holds the event now."""
        return self._settle(event, attempt, DeliveryState.DELIVERED)

    def postponed(self, event: ClaimedEvent, attempt: Attempt, delay_seconds: float) -> bool:
        """Try again later; False as above."""
        return self._settle(event, attempt, DeliveryState.PENDING, delay_seconds)

    def failed(self, event: ClaimedEvent, attempt: Attempt) -> bool:
        """Give it up; False as above."""
        return self._settle(event, attempt, DeliveryState.FAILED)

    def gone(self, event: ClaimedEvent, attempt: Attempt) -> bool:
        """The receiver wants no more: disable its endpoint, this event, and all that wait for the same URL."""
        settled = self._settle(event, attempt, DeliveryState.DISABLED)
        rest = {"tenant": event.receiver.tenant, "receiver": event.receiver.address, "url": event.url}
        # apart, in small steps: the endpoint's row may not be locked while those of events are asked for
        disabled = settled
        while disabled:
            with self._database.transaction() as connection:
                disabled = connection.execute(DISABLE_REST, rest | {"limit": DISABLED_AT_ONCE}).rowcount > 0
        return settled

    def pending(self) -> Pending:
        """Count what waits."""
        with self._database.transaction() as connection:
            row = connection.execute(PENDING).one()
            return Pending(row.waiting, max(0.0, row.overdue_seconds))

    def failing(self, since_hours: float, limit: int = 20) -> Sequence[FailingEndpoint]:
        """Enabled endpoints that have failed for so long, longest first."""
        with self._database.transaction() as connection:
            rows = connection.execute(FAILING, {"hours": since_hours, "limit": limit})
            return [FailingEndpoint(**row._mapping) for row in rows]

    def forget(self, days: float, limit: int = 1000) -> int:
        """Delete settled events of jobs that ended so long ago, and endpoints nobody has used since."""
        with self._database.transaction() as connection:
            events = connection.execute(FORGET_EVENTS, {"days": days, "limit": limit}).rowcount
        with self._database.transaction() as connection:
            connection.execute(FORGET_ENDPOINTS, {"days": days, "limit": limit})
        return events

    def _settle(
        self, event: ClaimedEvent, attempt: Attempt, state: DeliveryState, delay_seconds: float | None = None
    ) -> bool:
        error = clean_text(attempt.error)
        entry = {"status": attempt.status, "error": error, "seconds": round(attempt.seconds, 3)}
        values = {
            "id": event.id,
            "claim_id": event.claim_id,
            "endpoint_id": new_id(),
            "state": state.value,
            "delay_seconds": delay_seconds,
            "status": attempt.status,
            "error": None if error is None else error[:_ERROR_CHARACTERS],
            "entry": dump(entry),
            "log_max": LOG_MAX,
        }
        with self._database.transaction() as connection:
            return bool(connection.execute(SETTLE, values).scalar_one())


def _visited(connection: Connection, after: Receiver, limit: int) -> dict[Receiver, bool]:
    rows = connection.execute(VISIT, {"tenant": after.tenant, "receiver": after.address, "limit": limit})
    return {Receiver(row.tenant, row.receiver): row.due for row in rows}


def _claimed(row: Mapping[str, Any], claim_id: str) -> ClaimedEvent:
    return ClaimedEvent(
        id=row["id"],
        claim_id=claim_id,
        receiver=Receiver(row["tenant"], row["receiver"]),
        job_id=row["job_id"],
        url=row["url"],
        body=row["body"],
        attempts=row["attempts"],
        retries=row["retries"],
        age_seconds=row["age_seconds"],
        secrets=tuple(bytes(secret) for secret in row["secrets"]),
    )
