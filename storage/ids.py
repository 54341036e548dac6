"""Ids of rows: UUID version 7, made by the application so that object keys can name a row before it exists."""

from __future__ import annotations

import re
import secrets
import time
from uuid import UUID

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def new_id() -> str:
    """Return a fresh UUIDv7 as a 36-character string that sorts by creation time in milliseconds (RFC 9562, 5.7)."""
    millis = time.time_ns() // 1_000_000
    value = (millis & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76 | secrets.randbits(12) << 64
    value |= 0b10 << 62 | secrets.randbits(62)
    return str(UUID(int=value))


def is_id(text: str) -> bool:
    """Whether a client's text has the shape of an id; anything else names no row and never reaches SQL."""
    return _ID.fullmatch(text) is not None
