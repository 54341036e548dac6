"""The port of the object store; ``s3.py`` and ``local.py`` implement it, one contract suite holds them to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What the store knows of an object; ``sha256`` only where all bytes passed through us."""

    key: str
    size_bytes: int
    etag: str
    sha256: str | None = None
    content_type: str | None = None
    modified_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredPart:
    """One part of an open multipart upload."""

    number: int
    size_bytes: int
    etag: str


#: called while bytes flow
Tick = Callable[[], None]


def no_tick() -> None:
    """Tick to nobody."""


class ObjectStore(Protocol):
    """Immutable objects by key.

    Keys are ours (``storage.objects.keys``), never a client's text. Every method raises
    ``ObjectStoreUnavailable`` when the store does not answer within its time-outs, and
    ``ObjectNotFound`` where a key must exist.
    """

    def put(
        self, key: str, body: BinaryIO | bytes, *, content_type: str | None = None, limit_bytes: int | None = None
    ) -> StoredObject:
        """Stream ``body`` to ``key`` in bounded memory, hashing it; the object appears whole or not at all.

        Raises: ObjectTooLarge past ``limit_bytes`` (nothing is kept). An exception from ``body.read``
        passes through, and nothing is kept either.
        """

    def open(self, key: str, start: int = 0, end: int | None = None) -> AbstractContextManager[BinaryIO]:
        """Open bytes ``start`` (inclusive) to ``end`` (exclusive, None: to the end) for reading."""

    def fetch(self, key: str, path: Path, *, tick: Tick = no_tick) -> StoredObject:
        """Copy the object to a new file at ``path`` (temporary name, then rename), hashing it.

        ``tick`` is called after each piece of about a MiB; what it raises stops the copy, and nothing is left.
        """

    def stat(self, key: str) -> StoredObject:
        """Return size and etag without reading the body."""

    def delete(self, keys: Sequence[str]) -> None:
        """Delete; a key that is not there is no error."""

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[StoredObject]:
        """Yield objects in key order, after the key ``after``."""

    def presign_get(self, key: str, *, expires_seconds: int, filename: str | None = None) -> str:
        """Return a URL that answers GET (and Range) for this object alone, as an attachment, until it expires."""

    def start_multipart(self, key: str, *, content_type: str | None = None) -> str:
        """Open a multipart upload; return the store's id for it."""

    def presign_part(self, key: str, multipart_id: str, number: int, *, size_bytes: int, expires_seconds: int) -> str:
        """Return a URL that takes PUT of part ``number`` (from 1) of exactly ``size_bytes`` bytes."""

    def list_parts(self, key: str, multipart_id: str) -> Sequence[StoredPart]:
        """Return the parts that arrived, by number."""

    def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[StoredPart]) -> StoredObject:
        """Join the parts; repeatable: when the object is there already, it is returned."""

    def abort_multipart(self, key: str, multipart_id: str) -> None:
        """Throw the parts away; no error when nothing is there."""

    def discard_unfinished(self, older_than: datetime, *, limit: int = 1000) -> int:
        """Throw away writes begun before ``older_than`` that never became objects; return how many.

        These are open multipart uploads and what a killed process left of a ``put``.
        """

    def check(self) -> None:
        """Raise ObjectStoreUnavailable unless the store answers and our bucket or folder is writable."""
