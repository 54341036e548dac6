"""Ids of rows: UUID version 7, made by the application so that object keys can name a row before it exists."""

from __future__ import annotations

import secrets
import time
from uuid import UUID


def new_id() -> str:
    """Return a fresh UUIDv7 as a 36-character string (RFC 9562, section 5.7): sorts by creation time in milliseconds."""
    millis = time.time_ns() // 1_000_000
    value = (millis & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76 | secrets.randbits(12) << 64
    value |= 0b10 << 62 | secrets.randbits(62)
    return str(UUID(int=value))
