"""JSON on its way into PostgreSQL: what jsonb refuses is replaced, so that no result can be unstorable."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

#: how a NUL looks in the text of JSON
_NUL = "\\u0000"


def dump(value: Any) -> str:
    """Return the JSON text of plain data, cleaned.

    NUL characters and lone surrogates become U+FFFD, numbers that are not finite become null: a file name in a
    traceback or a NaN in a summary must not make a finish fail for ever.
    Raises: TypeError for anything that is not plain data.
    """
    try:
        # most of it is clean already, and finding that out costs a quarter of cleaning it
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (ValueError, TypeError):  # not finite, a lone surrogate, a mapping or sequence of another type
        return _dump_cleaned(value)
    return _dump_cleaned(value) if _NUL in text else text


def _dump_cleaned(value: Any) -> str:
    return json.dumps(_clean(value), ensure_ascii=False, allow_nan=False)


def clean_text(value: str | None) -> str | None:
    """Return text that PostgreSQL can store."""
    if value is None:
        return None
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {clean_text(str(name)): _clean(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_clean(item) for item in value]
    return value
