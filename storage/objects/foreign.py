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
    """Opens objects with our credentials, which need the right to get them; to list a prefix, that right too."""

    def __init__(self, access: S3Access) -> None:
        self._clients = S3Clients(access)

    def list(self, bucket: str, prefix: str, *, after: str | None, limit: int) -> list[str]:
        """Return the next keys that begin with ``prefix``, in order, at most 1,000 of them.

        Raises: ObjectNotFound (no such bucket), ForeignObjectDenied, ObjectStoreUnavailable.
        """
        where = f"s3://{bucket}/{prefix}"
        start = {"StartAfter": after} if after else {}
        with _foreign_errors(where):
            answer = self._clients.bulk.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=limit, **start)
        return [item["Key"] for item in answer.get("Contents", ())]

    @contextmanager
    def open(self, bucket: str, key: str) -> Iterator[tuple[StoredObject, BufferedReader]]:
        """Yield what is known of an object, and its bytes.

        Raises: ObjectNotFound, ForeignObjectDenied, ObjectStoreUnavailable (also while reading).
        """
        where = f"s3://{bucket}/{key}"
        with _foreign_errors(where):
            answer = self._clients.bulk.get_object(Bucket=bucket, Key=key)
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


@contextmanager
def _foreign_errors(where: str) -> Iterator[None]:
    """What a bucket of others refuses is the client's to mend, not ours."""
    try:
        with store_errors(where):
            yield
    except (ObjectStoreUnavailable, ObjectNotFound) as error:
        code = code_of(error.__cause__) if isinstance(error.__cause__, ClientError) else ""
        if code in _MISSING:
            raise ObjectNotFound(f"there is no {where}") from error
        if code in _DENIED:
            raise ForeignObjectDenied(f"{where} may not be read: {code}") from error
        raise
