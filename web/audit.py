"""The documents of the audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from storage.audit import Entry
from web.documents import Document


class AuditEntry(Document):
    """One change that somebody made."""

    id: str
    at: datetime
    by: str = Field(description="Id of an API key; shell: a command beside the database.")
    by_name: str | None = Field(description="What the key is called.")
    tenant: str | None = Field(description="Whose key it is.")
    action: str = Field(
        description="pause, resume, worker.drain, model.add, model.activate, dead.replay, key.revoke, ..."
    )
    target: Mapping[str, Any]


class AuditList(Document):
    """Who did what, newest first."""

    entries: Sequence[AuditEntry]
    next_cursor: str | None


def audit_document(entry: Entry) -> AuditEntry:
    """Return the document of an entry."""
    fields = {name: getattr(entry, name) for name in AuditEntry.model_fields}
    return AuditEntry(**(fields | {"id": str(entry.id)}))
