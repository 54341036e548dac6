"""What comes in is read strictly: JSON and ids. No request is needed here."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from storage.errors import NotFound
from storage.ids import is_id

#: JSON text may not nest deeper than this
DEPTH_MAX = 64


def parse(text: str | bytes) -> Any:
    """Parse one JSON text. Raises: ValueError."""
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_unique)
        check_text(value)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    return value


def check_text(value: Any, depth: int = 0) -> None:
    """Refuse what PostgreSQL cannot store: NUL, lone surrogates, endless nesting. Raises: ValueError."""
    if depth > DEPTH_MAX:
        raise ValueError("the JSON is nested too deeply")
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("text must not hold the character NUL")
        value.encode()  # UnicodeEncodeError is a ValueError
    elif isinstance(value, Mapping):
        for name, item in value.items():
            check_text(name, depth)
            check_text(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            check_text(item, depth + 1)


def known_id(text: str, error: type[NotFound]) -> str:
    """Return an id that could name a row. Raises: ``error`` for any other text."""
    if not is_id(text):
        raise error("no such id")
    return text


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("an object names a member twice")
    return value
