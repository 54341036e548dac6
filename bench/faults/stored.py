"""The object store as the checker looks into it."""

from __future__ import annotations

import hashlib

from storage.errors import ObjectNotFound
from storage.objects.port import ObjectStore


class Stored:
    """Digests of what lies in a store, read anew each time."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def sha256(self, key: str) -> str | None:
        """The digest of an object's bytes; None when it is not there. Raises: ObjectStoreUnavailable."""
        try:
            with self._store.open(key) as file:
                digest = hashlib.sha256()
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
        except ObjectNotFound:
            return None
        return digest.hexdigest()
