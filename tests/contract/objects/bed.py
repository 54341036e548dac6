"""What tests of object stores send, fetch and look for."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from storage.objects.port import ObjectStore

MIB = 1 << 20
KEY = "inputs/0199c0de-0000-7000-8000-000000000001/source"


def pattern(size: int, seed: int = 0) -> bytes:
    return hashlib.shake_128(bytes([seed])).digest(size)


def read(store: ObjectStore, key: str, *range_: int) -> bytes:
    with store.open(key, *range_) as body:
        return body.read()


def nothing_is_stored(store: ObjectStore) -> bool:
    soon = datetime.now(UTC) + timedelta(hours=1)
    return list(store.list("inputs/")) == [] and store.discard_unfinished(soon) == 0
