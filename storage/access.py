"""API keys: shown once, stored as SHA-256 with scopes and expiry."""

from __future__ import annotations

import hashlib
import secrets
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Row

from storage import audit
from storage.audit import SHELL, Actor
from storage.database import Database
from storage.ids import is_id, new_id

SCOPES = ("submit", "read", "operate", "admin")

PREFIX = "fq_"
_RANDOM_CHARS = 43
_CHECKSUM_CHARS = 6
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Who calls; never the key itself."""

    id: str
    tenant: str
    name: str
    last4: str
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


_COLUMNS = "id::text AS id, tenant, name, last4, scopes, created_at, expires_at, revoked_at"

_INSERT = text(f"""
    INSERT INTO api_keys (id, tenant, name, last4, digest, scopes, expires_at)
    VALUES (CAST(:id AS uuid), :tenant, :name, :last4, :digest, CAST(:scopes AS text[]), :expires_at)
    RETURNING {_COLUMNS}
""")  # noqa: S608 - fixed text

_FIND = text(f"""
    SELECT {_COLUMNS},
        last_used_at IS NULL OR last_used_at < clock_timestamp() - interval '1 minute' AS unseen
    FROM api_keys
    WHERE digest = :digest AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
""")  # noqa: S608 - fixed text

# At most once a minute, and never by two requests at once: a key in heavy use must not become a hot row.
_TOUCH = text("""
    UPDATE api_keys SET last_used_at = clock_timestamp() WHERE id = (
        SELECT id FROM api_keys WHERE id = CAST(:id AS uuid)
            AND (last_used_at IS NULL OR last_used_at < clock_timestamp() - interval '1 minute')
        FOR NO KEY UPDATE SKIP LOCKED)
""")

_REVOKE = text("UPDATE api_keys SET revoked_at = clock_timestamp() WHERE id = CAST(:id AS uuid) AND revoked_at IS NULL")

_LIST = text(f"""
    SELECT {_COLUMNS} FROM api_keys WHERE CAST(:tenant AS text) IS NULL OR tenant = :tenant ORDER BY id DESC
""")  # noqa: S608 - fixed text


class KeyStore:
    """Issue, look up and revoke; a key is ``fq_`` + 43 base64url characters of 32 random bytes + 6 of checksum."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def issue(
        self, *, tenant: str, name: str, scopes: Sequence[str], expires_at: datetime | None = None, by: Actor = SHELL
    ) -> tuple[ApiKey, str]:
        """Return the row and the secret; the secret cannot be read again. Raises: ValueError for an unknown scope."""
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown or not scopes:
            raise ValueError(f"scopes must be some of {', '.join(SCOPES)}; got {', '.join(unknown) or 'none'}")
        secret = make_secret()
        record = {
            "id": new_id(),
            "tenant": tenant,
            "name": name,
            "last4": secret[-4:],
            "digest": _digest(secret),
            "scopes": sorted(set(scopes)),
            "expires_at": expires_at,
        }
        with self._database.transaction() as connection:
            key = _key(connection.execute(_INSERT, record).one())
            told = {"key": key.id, "name": name, "tenant": tenant, "scopes": record["scopes"]}
            audit.note(connection, by, "key.issue", **told)
            return key, secret

    def find(self, secret: str) -> ApiKey | None:
        """The valid key with this secret (checksum, digest, not expired, not revoked), else None."""
        if not is_well_formed(secret):
            return None
        with self._database.transaction() as connection:
            row = connection.execute(_FIND, {"digest": _digest(secret)}).one_or_none()
            if row is None:
                return None
            if row.unseen:
                connection.execute(_TOUCH, {"id": row.id})
            return _key(row)

    def revoke(self, key_id: str, *, by: Actor = SHELL) -> bool:
        """False when it was revoked before or never was."""
        if not is_id(key_id):
            return False
        with self._database.transaction() as connection:
            revoked = connection.execute(_REVOKE, {"id": key_id}).rowcount > 0
            if revoked:
                audit.note(connection, by, "key.revoke", key=key_id)
            return revoked

    def list(self, tenant: str | None = None) -> Sequence[ApiKey]:
        """Newest first."""
        with self._database.transaction() as connection:
            return [_key(row) for row in connection.execute(_LIST, {"tenant": tenant})]


def make_secret() -> str:
    """Return a fresh key."""
    body = PREFIX + urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode("ascii")
    return body + _checksum(body)


def is_well_formed(secret: str) -> bool:
    """Whether prefix, length and checksum fit: a mistyped or truncated key never reaches the database."""
    body, checksum = secret[:-_CHECKSUM_CHARS], secret[-_CHECKSUM_CHARS:]
    right_shape = secret.isascii() and body.startswith(PREFIX) and len(body) == len(PREFIX) + _RANDOM_CHARS
    return right_shape and checksum == _checksum(body)


def _checksum(body: str) -> str:
    value = zlib.crc32(body.encode("ascii"))
    digits = ""
    for _ in range(_CHECKSUM_CHARS):
        value, digit = divmod(value, 62)
        digits = _BASE62[digit] + digits
    return digits


def _digest(secret: str) -> bytes:
    # 256 random bits need no slow hash: there is nothing to guess.
    return hashlib.sha256(secret.encode("ascii")).digest()


def _key(row: Row[Any]) -> ApiKey:
    fields = row._asdict()
    fields.pop("unseen", None)
    return ApiKey(**(fields | {"scopes": frozenset(fields["scopes"])}))
