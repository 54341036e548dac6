"""Who calls."""

from __future__ import annotations

from dataclasses import dataclass

from storage.audit import Actor


@dataclass(frozen=True, slots=True)
class Caller:
    """The tenant behind a request, and what its key allows."""

    tenant: str
    key_id: str
    scopes: frozenset[str]

    @property
    def actor(self) -> Actor:
        """Who it is in the audit."""
        return Actor(self.key_id, self.tenant)

    def may(self, scope: str) -> bool:
        """Whether the key holds a scope; ``admin`` holds all."""
        return scope in self.scopes or "admin" in self.scopes
