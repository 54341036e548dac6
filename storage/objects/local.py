"""Objects in a local folder: for the embedded stack, for tests, and for one machine with a disk.

Layout below the root::

    objects/<key>         the bytes, renamed into place when whole and synced
    facts/<key>.json      etag and type of that file, see ``facts.py``
    multipart/<id>/       parts of an open upload, see ``local_parts.py``
    temporary/            what is being written
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from storage.errors import ObjectNotFound
from storage.objects.drafts import Draft, Drafts, disk_errors, reading
from storage.objects.facts import Facts, FactsBook, stamp
from storage.objects.folder import make_folder, path_of, place, remove_file, walk_keys
from storage.objects.local_parts import LocalParts
from storage.objects.measured import MeasuredBody
from storage.objects.parts import check_whole
from storage.objects.port import StoredObject, StoredPart, Tick, no_tick
from storage.objects.signing import PartGrant, SignedUrls
from storage.objects.streams import COPY_BYTES, pulled, save


class LocalObjectStore:
    """Implements ``ObjectStore``; the etag is the SHA-256 of the bytes, or of the parts' digests.

    The web part serves the signed URLs: ``urls.verify`` gives a grant, ``open`` and ``receive_part`` carry it out.
    """

    def __init__(self, root: Path, urls: SignedUrls) -> None:
        """Create ``root`` if need be. Raises: ObjectStoreUnavailable."""
        self.urls = urls
        self._objects = root / "objects"
        self._facts = FactsBook(root / "facts")
        self._drafts = Drafts(root / "temporary")
        self._parts = LocalParts(root / "multipart", self._drafts)
        with disk_errors():
            for folder in ("objects", "facts", "multipart", "temporary"):
                make_folder(root / folder)

    def put(
        self, key: str, body: BinaryIO | bytes, *, content_type: str | None = None, limit_bytes: int | None = None
    ) -> StoredObject:
        """See the port."""
        self._path(key)
        measured = MeasuredBody(body, limit_bytes)
        with self._drafts.new() as draft:
            while piece := measured.read(COPY_BYTES):
                draft.write(piece)
            return self._publish(key, draft, etag=measured.sha256, sha256=measured.sha256, content_type=content_type)

    @contextmanager
    def open(self, key: str, start: int = 0, end: int | None = None) -> Iterator[BinaryIO]:
        """See the port."""
        with reading(key, self._objects):
            file = self._path(key).open("rb", buffering=0)
        with file:
            file.seek(start)

            def pull(size: int) -> bytes:
                with disk_errors():
                    return file.read(size) or b""

            with pulled(pull, size=None if end is None else max(end - start, 0)) as body:
                yield body

    def fetch(self, key: str, path: Path, *, tick: Tick = no_tick) -> StoredObject:
        """See the port."""
        stored = self.stat(key)
        with self.open(key) as body:
            sha256 = save(body, path, tick)
        return StoredObject(key, stored.size_bytes, stored.etag, sha256, stored.content_type, stored.modified_at)

    def stat(self, key: str) -> StoredObject:
        """See the port."""
        path = self._path(key)
        with reading(key, self._objects):
            return _stored(key, self._facts.get(key, path))

    def delete(self, keys: Sequence[str]) -> None:
        """See the port."""
        for key in keys:
            path = self._path(key)
            with disk_errors():
                remove_file(path, self._objects)
                self._facts.forget(key)

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[StoredObject]:
        """See the port."""
        with disk_errors():
            if not self._objects.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, "not mounted", str(self._objects))
            for key in walk_keys(self._objects, prefix, after):
                # an object deleted since its name was read is simply not there
                with suppress(ObjectNotFound):
                    yield self.stat(key)

    def presign_get(self, key: str, *, expires_seconds: int, filename: str | None = None) -> str:
        """See the port."""
        return self.urls.sign_get(key, expires_seconds=expires_seconds, filename=filename)

    def start_multipart(self, key: str, *, content_type: str | None = None) -> str:
        """See the port."""
        self._path(key)
        return self._parts.start(key, content_type)

    def presign_part(self, key: str, multipart_id: str, number: int, *, size_bytes: int, expires_seconds: int) -> str:
        """See the port."""
        return self.urls.sign_part(key, multipart_id, number, size_bytes=size_bytes, expires_seconds=expires_seconds)

    def receive_part(self, grant: PartGrant, stream: BinaryIO) -> StoredPart:
        """Store the body of a signed PUT; a part sent again replaces the earlier one.

        Raises: ObjectMismatch (not exactly the granted size), ObjectNotFound (no such open upload).
        """
        return self._parts.receive(grant, stream)

    def list_parts(self, key: str, multipart_id: str) -> Sequence[StoredPart]:
        """See the port."""
        return self._parts.list(key, multipart_id)

    def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[StoredPart]) -> StoredObject:
        """See the port."""
        try:
            with self._drafts.new() as draft:
                joined = self._parts.join(key, multipart_id, parts, draft)
                stored = self._publish(key, draft, etag=joined.etag, sha256=None, content_type=joined.content_type)
        except ObjectNotFound:
            return self._completed_before(key, parts)
        self._parts.discard(multipart_id)
        return stored

    def abort_multipart(self, key: str, multipart_id: str) -> None:
        """See the port."""
        self._parts.abort(key, multipart_id)

    def discard_unfinished(self, older_than: datetime, *, limit: int = 1000) -> int:
        """See the port."""
        with disk_errors():
            drafts = self._drafts.discard_older(older_than, limit)
            return drafts + self._parts.discard_older(older_than, limit - drafts)

    def check(self) -> None:
        """See the port."""
        with self._drafts.new() as draft:
            draft.write(b"writable")
            draft.seal()

    def _publish(
        self, key: str, draft: Draft, *, etag: str, sha256: str | None, content_type: str | None
    ) -> StoredObject:
        """Move a written draft to its key; facts first, for facts that fit no file do no harm."""
        with disk_errors():
            facts = stamp(draft.path, etag, sha256=sha256, content_type=content_type)
            draft.seal()
            self._facts.put(key, facts)
            place(draft.path, self._path(key))
        return _stored(key, facts)

    def _completed_before(self, key: str, parts: Sequence[StoredPart]) -> StoredObject:
        """The object of an upload that is not open any more. Raises: ObjectNotFound, ObjectMismatch."""
        stored = self.stat(key)
        check_whole(stored, parts)
        return stored

    def _path(self, key: str) -> Path:
        return path_of(self._objects, key)


def _stored(key: str, facts: Facts) -> StoredObject:
    modified_at = datetime.fromtimestamp(facts.modified_ns / 1e9, UTC)
    return StoredObject(key, facts.size_bytes, facts.etag, facts.sha256, facts.content_type, modified_at)
