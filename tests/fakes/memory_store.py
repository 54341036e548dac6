"""An object store in memory, held to the same contract as the real ones."""

from __future__ import annotations

import hashlib
import io
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from storage.errors import ObjectMismatch, ObjectNotFound, ObjectStoreUnavailable, ObjectTooLarge
from storage.objects.measured import MeasuredBody
from storage.objects.parts import check_parts, check_whole, joined_etag
from storage.objects.port import StoredObject, StoredPart, Tick, no_tick
from storage.objects.signing import PartGrant, SignedUrls
from storage.objects.streams import save


@dataclass
class _Upload:
    key: str
    content_type: str | None
    started_at: datetime
    parts: dict[int, bytes] = field(default_factory=dict)


class MemoryObjectStore:
    """Implements ``ObjectStore``; ``down = True`` makes every call raise, as a store that does not answer."""

    def __init__(self, urls: SignedUrls | None = None) -> None:
        self.urls = urls or SignedUrls(secrets.token_bytes(32), "http://memory.invalid")
        self.down = False
        self._objects: dict[str, tuple[StoredObject, bytes]] = {}
        self._uploads: dict[str, _Upload] = {}
        self._lock = threading.RLock()

    def put(
        self, key: str, body: BinaryIO | bytes, *, content_type: str | None = None, limit_bytes: int | None = None
    ) -> StoredObject:
        self.check()
        measured = MeasuredBody(body, limit_bytes)
        data = b"".join(iter(lambda: measured.read(1 << 20), b""))
        return self._keep(key, data, etag=measured.sha256, sha256=measured.sha256, content_type=content_type)

    @contextmanager
    def open(self, key: str, start: int = 0, end: int | None = None) -> Iterator[BinaryIO]:
        self.stat(key)
        with self._lock:
            data = self._objects[key][1]
        yield io.BytesIO(data[start : len(data) if end is None else end])

    def fetch(self, key: str, path: Path, *, tick: Tick = no_tick) -> StoredObject:
        stored = self.stat(key)
        with self.open(key) as body:
            return replace(stored, sha256=save(body, path, tick))

    def stat(self, key: str) -> StoredObject:
        self.check()
        with self._lock:
            if key not in self._objects:
                raise ObjectNotFound(key)
            return self._objects[key][0]

    def delete(self, keys: Sequence[str]) -> None:
        self.check()
        with self._lock:
            for key in keys:
                self._objects.pop(key, None)

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[StoredObject]:
        self.check()
        with self._lock:
            found = sorted(key for key in self._objects if key.startswith(prefix) and key > (after or ""))
        for key in found:
            with suppress(ObjectNotFound):
                yield self.stat(key)

    def presign_get(self, key: str, *, expires_seconds: int, filename: str | None = None) -> str:
        return self.urls.sign_get(key, expires_seconds=expires_seconds, filename=filename)

    def start_multipart(self, key: str, *, content_type: str | None = None) -> str:
        self.check()
        multipart_id = secrets.token_hex(16)
        with self._lock:
            self._uploads[multipart_id] = _Upload(key, content_type, datetime.now(UTC))
        return multipart_id

    def presign_part(self, key: str, multipart_id: str, number: int, *, size_bytes: int, expires_seconds: int) -> str:
        return self.urls.sign_part(key, multipart_id, number, size_bytes=size_bytes, expires_seconds=expires_seconds)

    def receive_part(self, grant: PartGrant, stream: BinaryIO) -> StoredPart:
        upload = self._upload(grant.key, grant.multipart_id)
        try:
            data = MeasuredBody(stream, grant.size_bytes).read_full(grant.size_bytes + 1)
        except ObjectTooLarge as error:
            raise ObjectMismatch("larger than agreed") from error
        if len(data) != grant.size_bytes:
            raise ObjectMismatch("smaller than agreed")
        with self._lock:
            upload.parts[grant.number] = data
        return _part(grant.number, data)

    def list_parts(self, key: str, multipart_id: str) -> Sequence[StoredPart]:
        upload = self._upload(key, multipart_id)
        with self._lock:
            return [_part(number, upload.parts[number]) for number in sorted(upload.parts)]

    def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[StoredPart]) -> StoredObject:
        with self._lock:
            try:
                upload = self._upload(key, multipart_id)
            except ObjectNotFound:
                stored = self.stat(key)
                check_whole(stored, parts)
                return stored
            ordered = check_parts(parts, self.list_parts(key, multipart_id))
            data = b"".join(upload.parts[part.number] for part in ordered)
            del self._uploads[multipart_id]
            return self._keep(key, data, etag=joined_etag(ordered), sha256=None, content_type=upload.content_type)

    def abort_multipart(self, key: str, multipart_id: str) -> None:
        with suppress(ObjectNotFound):
            self._upload(key, multipart_id)
            del self._uploads[multipart_id]

    def discard_unfinished(self, older_than: datetime, *, limit: int = 1000) -> int:
        self.check()
        with self._lock:
            stale = [name for name, upload in self._uploads.items() if upload.started_at < older_than][:limit]
            for name in stale:
                del self._uploads[name]
        return len(stale)

    def check(self) -> None:
        if self.down:
            raise ObjectStoreUnavailable("the memory store was told to be down")

    def _keep(self, key: str, data: bytes, *, etag: str, sha256: str | None, content_type: str | None) -> StoredObject:
        stored = StoredObject(key, len(data), etag, sha256, content_type, datetime.now(UTC))
        with self._lock:
            self._objects[key] = (stored, data)
        return stored

    def _upload(self, key: str, multipart_id: str) -> _Upload:
        self.check()
        with self._lock:
            upload = self._uploads.get(multipart_id)
        if upload is None or upload.key != key:
            raise ObjectNotFound(f"no open upload {multipart_id}")
        return upload


def _part(number: int, data: bytes) -> StoredPart:
    return StoredPart(number, len(data), hashlib.sha256(data).hexdigest())
