"""Reading objects from buckets that are not ours, on the configured S3 server, as inputs of jobs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader

from botocore.exceptions import ClientError

from storage.errors import ObjectNotFound, ObjectStoreUnavailable, Refused
from storage.objects.port import StoredObject
from storage.objects.s3_access import S3Access
from storage.objects.s3_clients import S3Clients
from storage.objects.s3_errors import code_of, store_errors
from storage.objects.s3_parts import bare_etag
from storage.objects.streams import pulled

_MISSING = frozenset({"NoSuchKey", "NoSuchBucket", "404"})
_DENIED = frozenset({"AccessDenied", "AllAccessDisabled", "InvalidObjectState", "InvalidBucketName", "403"})


class ForeignObjectDenied(Refused):
    """The bucket does not let us read this object."""

    code = "input.refused"


class ForeignBuckets:
    """Opens objects with our credentials; it needs the right to get objects and no other."""

    def __init__(self, access: S3Access) -> None:
        self._clients = S3Clients(access)

    @contextmanager
    def open(self, bucket: str, key: str) -> Iterator[tuple[StoredObject, BufferedReader]]:
        """Yield what is known of an object, and its bytes.

        Raises: ObjectNotFound, ForeignObjectDenied, ObjectStoreUnavailable (also while reading).
        """
        where = f"s3://{bucket}/{key}"
        try:
            with store_errors(where):
                answer = self._clients.bulk.get_object(Bucket=bucket, Key=key)
        except (ObjectStoreUnavailable, ObjectNotFound) as error:
            code = code_of(error.__cause__) if isinstance(error.__cause__, ClientError) else ""
            if code in _MISSING:
                raise ObjectNotFound(f"there is no {where}") from error
            if code in _DENIED:
                raise ForeignObjectDenied(f"{where} may not be read: {code}") from error
            raise
        stream = answer["Body"]

        def pull(size: int) -> bytes:
            with store_errors(where):
                piece: bytes = stream.read(size)
                return piece

        stored = StoredObject(key, answer["ContentLength"], bare_etag(answer), content_type=answer.get("ContentType"))
        try:
            with pulled(pull) as body:
                yield stored, body
        finally:
            stream.close()
