"""What the local store remembers of each file beside its bytes.

Only a cache: facts carry the size and time stamp of the file they describe, and where these differ (a crash
between two writes, a restored backup) they are made anew from the bytes. So the file alone is the truth.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from storage.objects.folder import path_of, place, remove_file

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Facts:
    """Etag, hash and type of one version of a file, told apart by size and time stamp."""

    size_bytes: int
    modified_ns: int
    etag: str
    sha256: str | None
    content_type: str | None

    def fit(self, stat: os.stat_result) -> bool:
        """Whether they describe the file that has this ``stat``."""
        return (self.size_bytes, self.modified_ns) == (stat.st_size, stat.st_mtime_ns)


class FactsBook:
    """Facts by key, a small JSON file each."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def get(self, key: str, path: Path) -> Facts:
        """Return facts of the file at ``path``, hashing it when none fit. Raises: OSError."""
        stat = path.stat()
        known = self._read(key)
        if known is not None and known.fit(stat):
            return known
        fresh = _facts_of(path)
        self.put(key, fresh)
        return fresh

    def put(self, key: str, facts: Facts) -> None:
        """Remember facts; not synced, since a torn or missing entry costs one reading of the file."""
        draft = self._root / f".{secrets.token_hex(8)}"
        try:
            draft.write_text(json.dumps(asdict(facts)))
            place(draft, self._path(key), durable=False)
        finally:
            draft.unlink(missing_ok=True)

    def forget(self, key: str) -> None:
        """Drop the facts of a deleted file."""
        remove_file(self._path(key), self._root)

    def _path(self, key: str) -> Path:
        path = path_of(self._root, key)
        return path.with_name(f"{path.name}.json")

    def _read(self, key: str) -> Facts | None:
        try:
            return Facts(**json.loads(self._path(key).read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None


def stamp(path: Path, etag: str, *, sha256: str | None, content_type: str | None) -> Facts:
    """Give a finished draft a time stamp of its own and return the facts that fit it.

    File systems stamp with the kernel's tick, a few milliseconds; two versions of equal size could share one.
    """
    now = time.time_ns()
    os.utime(path, ns=(now, now))
    stat = path.stat()
    return Facts(stat.st_size, stat.st_mtime_ns, etag, sha256, content_type)


def _facts_of(path: Path) -> Facts:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        stat = os.fstat(file.fileno())
        while piece := file.read(CHUNK_BYTES):
            digest.update(piece)
    return Facts(stat.st_size, stat.st_mtime_ns, digest.hexdigest(), digest.hexdigest(), None)
