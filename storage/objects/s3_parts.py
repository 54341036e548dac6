"""Multipart uploads of the S3 store: its own for large puts, and those that clients fill by presigned URLs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from storage.errors import ObjectNotFound, StorageError
from storage.objects.parts import check_parts, check_whole
from storage.objects.port import StoredObject, StoredPart
from storage.objects.s3_clients import S3Clients
from storage.objects.s3_errors import code_of, store_errors


def bare_etag(answer: Mapping[str, Any]) -> str:
    """The etag without the quotes of HTTP."""
    return str(answer["ETag"]).strip('"')


def typed(content_type: str | None) -> dict[str, str]:
    """The argument that names a content type, where there is one."""
    return {} if content_type is None else {"ContentType": content_type}


class S3Parts:
    """Multipart calls on one bucket."""

    def __init__(self, bucket: str, clients: S3Clients, patiently: Callable[[str, Callable[[Any], Any]], Any]) -> None:
        """``patiently(key, call)`` makes a call of bytes with one client, and again with a more patient one."""
        self._bucket = bucket
        self._clients = clients
        self._patiently = patiently

    def put_all(self, key: str, pieces: Iterable[bytes | bytearray], content_type: str | None) -> str:
        """Send pieces one after the other and join them; return the etag.

        Whatever goes wrong, in ``pieces`` or at the store, the upload is aborted, and the error passes on.
        """
        multipart_id = self.start(key, content_type)
        try:
            sent: list[StoredPart] = []
            for piece in pieces:
                sent.append(self._send(key, multipart_id, len(sent) + 1, piece))
                # else it would stay in memory while the next one is read
                del piece
            with store_errors(key):
                answer = self._join(key, multipart_id, sent)
        except BaseException:
            # where even this fails, ``discard_older`` finds it later
            with suppress(StorageError):
                self.abort(key, multipart_id)
            raise
        return bare_etag(answer)

    def start(self, key: str, content_type: str | None) -> str:
        """Open an upload and return its id."""
        with store_errors(key):
            answer = self._clients.quick.create_multipart_upload(Bucket=self._bucket, Key=key, **typed(content_type))
        return str(answer["UploadId"])

    def list(self, key: str, multipart_id: str) -> Sequence[StoredPart]:
        """Return the parts that arrived, by number. Raises: ObjectNotFound (no such open upload)."""
        paginator = self._clients.bulk.get_paginator("list_parts")
        with store_errors(f"open upload for {key}"):
            pages = tuple(paginator.paginate(Bucket=self._bucket, Key=key, UploadId=multipart_id))
        parts = (item for page in pages for item in page.get("Parts", ()))
        return sorted(
            (StoredPart(item["PartNumber"], item["Size"], bare_etag(item)) for item in parts),
            key=lambda part: part.number,
        )

    def complete(
        self, key: str, multipart_id: str, parts: Sequence[StoredPart], stat: Callable[[str], StoredObject]
    ) -> StoredObject:
        """Join the parts a client sent, or find that this was done before. Raises: ObjectMismatch, ObjectNotFound."""
        # an upload that is not open any more was completed, maybe by a call whose answer got lost
        with suppress(ObjectNotFound):
            ordered = check_parts(parts, self.list(key, multipart_id))
            with store_errors(key):
                self._join(key, multipart_id, ordered)
        stored = stat(key)
        check_whole(stored, parts)
        return stored

    def abort(self, key: str, multipart_id: str) -> None:
        """Throw an upload away; none is no error."""
        with suppress(ObjectNotFound), store_errors(key):
            self._clients.quick.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=multipart_id)

    def discard_older(self, older_than: datetime, limit: int) -> int:
        """Abort up to ``limit`` uploads begun before ``older_than``; return how many."""
        try:
            with store_errors("open uploads"):
                answer = self._clients.bulk.list_multipart_uploads(Bucket=self._bucket)
        except StorageError as error:
            # some servers cannot list them and expire them on their own
            cause = error.__cause__
            if isinstance(cause, ClientError) and code_of(cause) in {"NotImplemented", "MethodNotAllowed"}:
                return 0
            raise
        stale = [item for item in answer.get("Uploads", ()) if item["Initiated"] < older_than][:limit]
        for item in stale:
            self.abort(item["Key"], item["UploadId"])
        return len(stale)

    def _send(self, key: str, multipart_id: str, number: int, piece: bytes | bytearray) -> StoredPart:
        named = {"Bucket": self._bucket, "Key": key, "UploadId": multipart_id, "PartNumber": number}
        answer = self._patiently(key, lambda client: client.upload_part(Body=piece, **named))
        return StoredPart(number, len(piece), bare_etag(answer))

    def _join(self, key: str, multipart_id: str, parts: Sequence[StoredPart]) -> Any:
        listed = [{"PartNumber": part.number, "ETag": f'"{part.etag}"'} for part in parts]
        return self._clients.bulk.complete_multipart_upload(
            Bucket=self._bucket, Key=key, UploadId=multipart_id, MultipartUpload={"Parts": listed}
        )
