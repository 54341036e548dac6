"""API keys: shown once, stored as SHA-256 with scopes and expiry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.database import Database

SCOPES = ("submit", "read", "operate", "admin")


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


class KeyStore:
    """Issue, look up and revoke; a key is ``fq_`` + 43 base64url characters of 32 random bytes + 6 of checksum."""

    def __init__(self, database: Database) -> None:
        raise NotImplementedError

    def issue(
        self, *, tenant: str, name: str, scopes: Sequence[str], expires_at: datetime | None = None
    ) -> tuple[ApiKey, str]:
        """Return the row and the secret; the secret cannot be read again."""
        raise NotImplementedError

    def find(self, secret: str) -> ApiKey | None:
        """The valid key with this secret (checksum, digest, not expired, not revoked), else None."""
        raise NotImplementedError

    def revoke(self, key_id: str) -> bool:
        """False when it was revoked before or never was."""
        raise NotImplementedError

    def list(self, tenant: str | None = None) -> Sequence[ApiKey]:
        """Newest first."""
        raise NotImplementedError
