"""Where remote inputs come from: web URLs, and listed buckets of the configured S3 server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from storage.errors import ObjectNotFound, ObjectStoreUnavailable, Refused
from storage.objects.streams import pulled
from workers.fetch_url import Fetched, FetchGone, FetchRefused, FetchTooLarge, FetchUnreachable, UrlFetcher

if TYPE_CHECKING:
    from storage.objects.foreign import ForeignBuckets


class Sources(Protocol):
    """Opens whatever a job's ``source_url`` names."""

    def open(self, source_url: str, tenant: str) -> AbstractContextManager[Fetched]:
        """Yield the source's bytes. Raises: FetchError, also while they are read."""


@dataclass(frozen=True, slots=True)
class BucketRule:
    """One entry of the allowlist: keys that start with ``prefix``, for one tenant or all."""

    bucket: str
    prefix: str
    tenant: str | None

    @classmethod
    def parse(cls, text: str) -> BucketRule:
        """Read ``[tenant=]bucket[/prefix]``."""
        place, _, prefix = text.partition("/")
        tenant, named, bucket = place.rpartition("=")
        return cls(bucket, prefix, tenant if named else None)

    def allows(self, bucket: str, key: str, tenant: str) -> bool:
        """Whether a tenant may have this object copied."""
        return self.bucket == bucket and key.startswith(self.prefix) and self.tenant in {None, tenant}


class RemoteSources:
    """The sources of a dispatcher."""

    def __init__(
        self,
        fetcher: UrlFetcher,
        foreign: ForeignBuckets | None = None,
        *,
        buckets: Sequence[BucketRule] = (),
        own_bucket: str | None = None,
    ) -> None:
        """``foreign``: None where no S3 server is configured. ``own_bucket``: never read from, whatever is listed."""
        self._fetcher = fetcher
        self._foreign = foreign
        self._buckets = buckets
        self._own_bucket = own_bucket

    @contextmanager
    def open(self, source_url: str, tenant: str) -> Iterator[Fetched]:
        """See ``Sources``."""
        opened = self._s3(source_url, tenant) if source_url.startswith("s3://") else self._fetcher.open(source_url)
        with opened as fetched:
            yield fetched

    def list(self, prefix: str, tenant: str, *, after: str | None, limit: int) -> list[str]:
        """Return the next object keys below ``s3://bucket/prefix``. Raises: FetchError."""
        bucket, _, path = prefix.removeprefix("s3://").partition("/")
        self._require_listed(bucket, path, tenant)
        if self._foreign is None:
            raise FetchRefused("no S3 server is configured to read from")
        with _as_fetch_errors():
            return self._foreign.list(bucket, path, after=after, limit=limit)

    @contextmanager
    def _s3(self, source_url: str, tenant: str) -> Iterator[Fetched]:
        bucket, key = self._place(source_url, tenant)
        if self._foreign is None:
            raise FetchRefused("no S3 server is configured to read from")
        limit = self._fetcher.rules.max_bytes
        with ExitStack() as opened:
            # translated here and in pull, not around the yield: what our own store raises there is not the source's
            with _as_fetch_errors():
                stored, body = opened.enter_context(self._foreign.open(bucket, key))
            if stored.size_bytes > limit:
                raise FetchTooLarge(f"the source has {stored.size_bytes} bytes, the limit is {limit}")

            def pull(size: int) -> bytes:
                with _as_fetch_errors():
                    return body.read1(size)

            yield Fetched(pulled(pull), stored.size_bytes, stored.content_type, key.rpartition("/")[2] or None)

    def _place(self, source_url: str, tenant: str) -> tuple[str, str]:
        """Bucket and key. Raises: FetchRefused unless they are listed."""
        parts = urlsplit(source_url)
        bucket, key = parts.netloc, source_url[len("s3://") + len(parts.netloc) + 1 :]
        if not bucket or not key:
            raise FetchRefused("an object is named as s3://bucket/key")
        self._require_listed(bucket, key, tenant)
        return bucket, key

    def _require_listed(self, bucket: str, key: str, tenant: str) -> None:
        if bucket == self._own_bucket or not any(rule.allows(bucket, key, tenant) for rule in self._buckets):
            raise FetchRefused(f"inputs may not be read from s3://{bucket}")


@contextmanager
def _as_fetch_errors() -> Iterator[None]:
    try:
        yield
    except ObjectNotFound as error:
        raise FetchGone(str(error)) from error
    except ObjectStoreUnavailable as error:
        raise FetchUnreachable(str(error)) from error
    except Refused as error:
        raise FetchRefused(str(error)) from error
