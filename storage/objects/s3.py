"""Objects in one bucket of an S3 server: AWS, MinIO, SeaweedFS, RustFS and their like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from botocore.exceptions import ClientError

from storage.errors import ObjectStoreFull, ObjectStoreUnavailable
from storage.objects.disposition import attachment
from storage.objects.measured import MeasuredBody
from storage.objects.port import StoredObject, StoredPart, Tick, no_tick
from storage.objects.proof import Proof
from storage.objects.s3_access import S3Access
from storage.objects.s3_clients import BODY_READ_SECONDS, S3Clients
from storage.objects.s3_errors import code_of, store_errors
from storage.objects.s3_parts import S3Parts, bare_etag, typed
from storage.objects.streams import pulled, save

Answer = TypeVar("Answer")

#: a put of more than this goes up in parts of this size, one in memory at a time
PART_BYTES = 8 << 20
#: S3 takes so many parts and no more
PARTS_MAX = 10_000
DELETE_BATCH = 1000
CHECK_KEY = "framequeue-check"


class S3ObjectStore:
    """Implements ``ObjectStore``; safe to use from many threads, to be made after a fork."""

    def __init__(self, bucket: str, access: S3Access) -> None:
        """The bucket must exist. Connects lazily."""
        self.bucket = bucket
        self._clients = S3Clients(access)
        self._proof = Proof(self._head_bucket)
        self._parts = S3Parts(bucket, self._clients, self._patiently)

    def put(
        self, key: str, body: BinaryIO | bytes, *, content_type: str | None = None, limit_bytes: int | None = None
    ) -> StoredObject:
        """See the port."""
        # before the first byte is taken from the client: a store that is down must show at once
        self._proof.demand()
        measured = MeasuredBody(body, limit_bytes)
        part_bytes = max(PART_BYTES, -(-(limit_bytes or 0) // PARTS_MAX))
        first = [measured.read_full(part_bytes)]
        if len(first[0]) < part_bytes:
            named = {"Bucket": self.bucket, "Key": key, **typed(content_type)}
            etag = bare_etag(self._patiently(key, lambda client: client.put_object(Body=first[0], **named)))
        else:
            # popped, so that nobody holds the first part while the others go up
            pieces = iter(lambda: first.pop() if first else measured.read_full(part_bytes), b"")
            etag = self._parts.put_all(key, pieces, content_type)
        return StoredObject(key, measured.size_bytes, etag, measured.sha256, content_type)

    @contextmanager
    def open(self, key: str, start: int = 0, end: int | None = None) -> Iterator[BinaryIO]:
        """See the port."""
        with self._get(key, start, end) as (_, body):
            yield body

    def fetch(self, key: str, path: Path, *, tick: Tick = no_tick) -> StoredObject:
        """See the port."""
        with self._get(key) as (stored, body):
            sha256 = save(body, path, tick)
        return StoredObject(key, stored.size_bytes, stored.etag, sha256, stored.content_type, stored.modified_at)

    def stat(self, key: str) -> StoredObject:
        """See the port."""
        with store_errors(key):
            return _stored(key, self._clients.quick.head_object(Bucket=self.bucket, Key=key))

    def delete(self, keys: Sequence[str]) -> None:
        """See the port."""
        for first in range(0, len(keys), DELETE_BATCH):
            batch = keys[first : first + DELETE_BATCH]
            with store_errors("objects to delete"):
                answer = self._clients.bulk.delete_objects(
                    Bucket=self.bucket, Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True}
                )
            if failed := answer.get("Errors"):
                raise ObjectStoreUnavailable(f"the object store kept {len(failed)} objects: {failed[0].get('Code')}")

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[StoredObject]:
        """See the port."""
        pages = self._clients.bulk.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix, **({"StartAfter": after} if after else {})
        )
        remaining = iter(pages)
        while True:
            with store_errors(prefix):
                page = next(remaining, None)
            if page is None:
                return
            for item in page.get("Contents", ()):
                yield StoredObject(item["Key"], item["Size"], bare_etag(item), modified_at=item["LastModified"])

    def presign_get(self, key: str, *, expires_seconds: int, filename: str | None = None) -> str:
        """See the port."""
        params = {"Bucket": self.bucket, "Key": key, "ResponseContentDisposition": attachment(filename)}
        url: str = self._clients.public.generate_presigned_url("get_object", params, ExpiresIn=expires_seconds)
        return url

    def start_multipart(self, key: str, *, content_type: str | None = None) -> str:
        """See the port."""
        return self._parts.start(key, content_type)

    def presign_part(self, key: str, multipart_id: str, number: int, *, size_bytes: int, expires_seconds: int) -> str:
        """See the port."""
        params = {
            "Bucket": self.bucket,
            "Key": key,
            "UploadId": multipart_id,
            "PartNumber": number,
            # becomes a signed header: the store refuses a body of any other length
            "ContentLength": size_bytes,
        }
        url: str = self._clients.public.generate_presigned_url("upload_part", params, ExpiresIn=expires_seconds)
        return url

    def list_parts(self, key: str, multipart_id: str) -> Sequence[StoredPart]:
        """See the port."""
        return self._parts.list(key, multipart_id)

    def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[StoredPart]) -> StoredObject:
        """See the port."""
        return self._parts.complete(key, multipart_id, parts, self.stat)

    def abort_multipart(self, key: str, multipart_id: str) -> None:
        """See the port."""
        self._parts.abort(key, multipart_id)

    def discard_unfinished(self, older_than: datetime, *, limit: int = 1000) -> int:
        """See the port."""
        return self._parts.discard_older(older_than, limit)

    def check(self) -> None:
        """See the port."""
        with self._proof.watching(), store_errors("bucket"):
            self._clients.quick.put_object(Bucket=self.bucket, Key=CHECK_KEY, Body=b"")

    def _head_bucket(self) -> None:
        """Raise ObjectStoreUnavailable within 3 s unless the store answers."""
        with store_errors("bucket"):
            self._clients.quick.head_bucket(Bucket=self.bucket)

    def _patiently(self, key: str, call: Callable[[Any], Answer]) -> Answer:
        """Call briskly; where no answer comes, see that the store is there before calling with more patience.

        So a frozen store shows within 3 s, and a slow one is waited for.
        Raises: ObjectStoreUnavailable, ObjectNotFound.
        """
        try:
            with store_errors(key):
                return call(self._clients.brisk)
        except ObjectStoreFull:
            raise
        except ObjectStoreUnavailable:
            self._proof.doubt()
        self._proof.demand()
        with store_errors(key):
            return call(self._clients.bulk)

    @contextmanager
    def _get(self, key: str, start: int = 0, end: int | None = None) -> Iterator[tuple[StoredObject, BinaryIO]]:
        """The object's facts and a range of its bytes; the facts are the range's where there is one."""
        self._proof.demand()
        answer, empty = self._patiently(key, lambda client: self._ranged(client, key, start, end))
        stream = answer["Body"]
        stream.set_socket_timeout(BODY_READ_SECONDS)

        def pull(size: int) -> bytes:
            with store_errors(key):
                piece: bytes = stream.read(size)
                return piece

        try:
            with pulled(pull, size=0 if empty else None) as body:
                yield _stored(key, answer), body
        finally:
            stream.close()

    def _ranged(self, client: Any, key: str, start: int, end: int | None) -> tuple[dict[str, Any], bool]:
        """Ask for a range; the answer, and whether the range is empty."""
        try:
            return client.get_object(
                Bucket=self.bucket, Key=key, **_header(start, end)
            ), end is not None and end <= start
        except ClientError as error:
            # S3 knows no empty range; ask for what is before it, so that a missing key still shows
            if code_of(error) not in {"InvalidRange", "416"}:
                raise
            return client.get_object(Bucket=self.bucket, Key=key), True


def _header(start: int, end: int | None) -> dict[str, str]:
    if start == 0 and end is None:
        return {}
    last = "" if end is None else str(max(end - 1, start))
    return {"Range": f"bytes={start}-{last}"}


def _stored(key: str, answer: dict[str, Any]) -> StoredObject:
    return StoredObject(
        key,
        answer["ContentLength"],
        bare_etag(answer),
        content_type=answer.get("ContentType"),
        modified_at=answer["LastModified"],
    )
