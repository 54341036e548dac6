"""Who calls."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """The tenant behind a request, and what its key allows."""

    tenant: str
    key_id: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Whether the key holds a scope; ``admin`` holds all."""
        return scope in self.scopes or "admin" in self.scopes
