"""Secrets that sign webhooks: made here, shown once, several at a time while one is being replaced."""

from __future__ import annotations

import secrets
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from storage import audit
from storage.audit import Actor
from storage.database import Database
from storage.errors import WebhookNotFound, WebhookSecretsFull
from storage.ids import is_id, new_id

#: what the Standard Webhooks specification puts in front of a secret of HMAC-SHA256
PREFIX = "whsec_"
SECRET_BYTES = 32
#: each of them adds a signature to every webhook
LIVE_MAX = 5


@dataclass(frozen=True, slots=True)
class WebhookSecret:
    """A live secret; never its bytes."""

    id: str
    created_at: datetime
    #: when it signs no more; None for the newest
    expires_at: datetime | None


# Two rotations at once must not both leave a secret without an end.
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('framequeue webhook secrets ' || :tenant, 0))")

_LIVE = "tenant = :tenant AND (expires_at IS NULL OR expires_at > clock_timestamp())"

_COUNT = text(f"SELECT count(*) FROM webhook_secrets WHERE {_LIVE}")  # noqa: S608 - fixed text

# ``least`` ignores NULL, so one that is to end sooner keeps its end.
_END_OTHERS = text(f"""
    UPDATE webhook_secrets
    SET expires_at = least(expires_at, clock_timestamp() + make_interval(secs => :overlap_seconds))
    WHERE {_LIVE}
""")  # noqa: S608 - fixed text

_INSERT = text("""
    INSERT INTO webhook_secrets (id, tenant, secret) VALUES (CAST(:id AS uuid), :tenant, :secret)
    RETURNING id::text AS id, created_at, expires_at
""")

_LIST = text(f"""
    SELECT id::text AS id, created_at, expires_at FROM webhook_secrets WHERE {_LIVE} ORDER BY created_at DESC, id DESC
""")  # noqa: S608 - fixed text

_HAS = text(f"SELECT EXISTS (SELECT FROM webhook_secrets WHERE {_LIVE})")  # noqa: S608 - fixed text

_DELETE = text("DELETE FROM webhook_secrets WHERE id = CAST(:id AS uuid) AND tenant = :tenant")

_FORGET = text("DELETE FROM webhook_secrets WHERE expires_at < clock_timestamp()")


class WebhookSecretStore:
    """Secrets of all tenants; each call is about one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, tenant: str, *, overlap_seconds: float, by: Actor) -> tuple[WebhookSecret, str]:
        """Make a secret and give the earlier ones an end; return the row and the text, which cannot be read again.

        Raises: WebhookSecretsFull.
        """
        secret = secrets.token_bytes(SECRET_BYTES)
        with self._database.transaction() as connection:
            connection.execute(_LOCK, {"tenant": tenant})
            connection.execute(_END_OTHERS, {"tenant": tenant, "overlap_seconds": overlap_seconds})
            if connection.execute(_COUNT, {"tenant": tenant}).scalar_one() >= LIVE_MAX:
                raise WebhookSecretsFull(f"{LIVE_MAX} secrets sign already; delete one, or wait until one has expired")
            record = {"id": new_id(), "tenant": tenant, "secret": secret}
            row = connection.execute(_INSERT, record).one()
            audit.note(connection, by, "webhook.secret.create", secret=row.id, overlap_seconds=overlap_seconds)
            return WebhookSecret(**row._mapping), secret_text(secret)

    def list(self, tenant: str) -> Sequence[WebhookSecret]:
        """Those that sign just now, newest first."""
        with self._database.transaction() as connection:
            return [WebhookSecret(**row._mapping) for row in connection.execute(_LIST, {"tenant": tenant})]

    def has_one(self, tenant: str) -> bool:
        """Whether webhooks of this tenant can be signed."""
        with self._database.transaction() as connection:
            return bool(connection.execute(_HAS, {"tenant": tenant}).scalar_one())

    def delete(self, secret_id: str, tenant: str, *, by: Actor) -> None:
        """Sign with it no more, from the next attempt on. Raises: WebhookNotFound."""
        with self._database.transaction() as connection:
            record = {"id": secret_id, "tenant": tenant}
            if not is_id(secret_id) or connection.execute(_DELETE, record).rowcount == 0:
                raise WebhookNotFound(f"no webhook secret {secret_id}")
            audit.note(connection, by, "webhook.secret.delete", secret=secret_id)

    def forget_expired(self) -> int:
        """Delete what signs no more."""
        with self._database.transaction() as connection:
            return connection.execute(_FORGET).rowcount


def secret_text(secret: bytes) -> str:
    """Return a secret as its owner gets to see it."""
    return PREFIX + b64encode(secret).decode("ascii")
