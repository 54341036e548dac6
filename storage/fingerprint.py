"""Which errors are the same error: what dead letters are grouped by, and a replay loop is known by."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

#: what differs between two happenings of one error: ids, addresses, numbers
_VARIABLE = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]+|\d+(?:\.\d+)?", re.IGNORECASE)
_FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line \d+, in (?P<function>\S+)', re.MULTILINE)


def error_fingerprint(error: Mapping[str, Any]) -> str:
    """Return 16 hex digits: equal for errors of one code, stage and message (numbers aside), raised in one function."""
    message = _VARIABLE.sub("#", str(error.get("message", "")))
    frames = _FRAME.findall(str(error.get("stack") or ""))
    place = f"{frames[-1][0].rpartition('/')[2]}:{frames[-1][1]}" if frames else ""
    text = "\n".join([str(error.get("code", "")), str(error.get("stage") or ""), message, place])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
