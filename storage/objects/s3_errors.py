"""boto3's errors end here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from storage.errors import ObjectMismatch, ObjectNotFound, ObjectStoreFull, ObjectStoreUnavailable

_MISSING = frozenset({"NoSuchKey", "NoSuchUpload", "NotFound", "404"})
_MISMATCH = frozenset({"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "EntityTooLarge", "PreconditionFailed"})
#: S3 itself is never full; its servers on somebody's disks are
_FULL = frozenset(
    {"XMinioStorageFull", "InsufficientStorage", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "507"}
)


def code_of(error: ClientError) -> str:
    """The store's own word for what went wrong."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def store_errors(subject: str) -> Iterator[None]:
    """Turn what boto3 raises into the storage package's errors.

    Refused credentials and a bucket that is not there are ours to mend, not the client's: unavailable.
    Keep it around calls of the store alone, never around a caller's stream.
    """
    try:
        yield
    except ClientError as error:
        code = code_of(error)
        if code in _MISSING:
            raise ObjectNotFound(f"the object store holds no {subject}") from error
        if code in _MISMATCH:
            raise ObjectMismatch(f"the object store refuses the parts of {subject}: {code}") from error
        if code in _FULL:
            raise ObjectStoreFull(f"the object store has no space left: {code}") from error
        raise ObjectStoreUnavailable(f"the object store answers {code or 'with an error'}") from error
    except (BotoCoreError, HTTPError, OSError) as error:
        # the class alone: messages of boto3 may hold signed URLs
        raise ObjectStoreUnavailable(f"the object store does not answer: {type(error).__name__}") from error
