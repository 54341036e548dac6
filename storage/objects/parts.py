"""What makes a part list whole; the same rules for every store."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from storage.errors import ObjectMismatch
from storage.objects.port import StoredObject, StoredPart


def check_parts(declared: Sequence[StoredPart], arrived: Sequence[StoredPart]) -> list[StoredPart]:
    """Return the declared parts by number, if each arrived just so and no number is missing or doubled.

    Etags may come in the quotes that HTTP puts around them. Raises: ObjectMismatch.
    """
    bare = (StoredPart(part.number, part.size_bytes, part.etag.strip('"')) for part in declared)
    ordered = sorted(bare, key=lambda part: part.number)
    if [part.number for part in ordered] != list(range(1, len(ordered) + 1)) or not ordered:
        raise ObjectMismatch("the part list must hold each number from 1 once")
    known = set(arrived)
    for part in ordered:
        if part not in known:
            raise ObjectMismatch(f"part {part.number} has not arrived with this size and etag")
    return ordered


def check_whole(stored: StoredObject, parts: Sequence[StoredPart]) -> None:
    """Raise ObjectMismatch unless an object has the size of its parts together."""
    expected = sum(part.size_bytes for part in parts)
    if stored.size_bytes != expected:
        raise ObjectMismatch(f"the object has {stored.size_bytes} bytes, its parts have {expected}")


def joined_etag(parts: Sequence[StoredPart]) -> str:
    """Etag of joined parts whose etags are SHA-256 digests, made without reading them again."""
    digest = hashlib.sha256(b"".join(bytes.fromhex(part.etag) for part in parts))
    return f"{digest.hexdigest()}-{len(parts)}"
