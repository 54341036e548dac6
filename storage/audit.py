"""Who did what, and when: one row for each change that an operator made, in the transaction of the change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage.database import Database
from storage.errors import CursorInvalid
from storage.jsonb import dump


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes a change."""

    #: id of an API key, or the word of a program that uses none
    by: str
    #: whose key it is
    tenant: str | None = None


#: whoever may start programs beside the database
SHELL = Actor("shell")


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of ``audit``."""

    id: int
    at: datetime
    by: str
    #: what the key is called, as long as there is one
    by_name: str | None
    action: str
    tenant: str | None
    target: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries, newest first, and the cursor for the next page."""

    entries: Sequence[Entry]
    next_cursor: str | None


_NOTE = text("""
    INSERT INTO audit (by, action, tenant, target) VALUES (:by, :action, :tenant, CAST(:target AS jsonb)) RETURNING id
""")

_COUNT = text("UPDATE audit SET target = target || CAST(:more AS jsonb) WHERE id = :id")

_PAGE = text("""
    SELECT a.id, a.at, a.by, k.name AS by_name, a.action, a.tenant, a.target
    FROM audit a LEFT JOIN api_keys k ON k.id::text = a.by
    WHERE CAST(:cursor AS bigint) IS NULL OR a.id < CAST(:cursor AS bigint)
    ORDER BY a.id DESC LIMIT :limit
""")


def note(connection: Connection, actor: Actor, action: str, **target: Any) -> int:
    """Write an entry in the transaction of the change; return its id."""
    row = {"by": actor.by, "action": action, "tenant": actor.tenant, "target": dump(target)}
    return int(connection.execute(_NOTE, row).scalar_one())


def complete(connection: Connection, entry_id: int, **more: Any) -> None:
    """Add to an entry what a change of several transactions has come to."""
    connection.execute(_COUNT, {"id": entry_id, "more": dump(more)})


class Audit:
    """Reads the entries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, *, cursor: str | None, limit: int) -> AuditPage:
        """Newest first. Raises: CursorInvalid."""
        if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
            raise CursorInvalid("the cursor is not one that a listing returned")
        where = {"cursor": None if cursor is None else int(cursor), "limit": limit + 1}
        with self._database.transaction() as connection:
            found = [Entry(**row._mapping) for row in connection.execute(_PAGE, where)]
        entries = found[:limit]
        return AuditPage(entries, str(entries[-1].id) if len(found) > limit else None)
