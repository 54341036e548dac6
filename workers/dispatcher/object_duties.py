"""The duties that move bytes, put together: ingest of remote inputs, and deletion."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from storage.database import Database
from storage.jobs import JobStore
from storage.objects.open_store import open_store
from storage.objects.port import ObjectStore
from storage.session_locks import SessionLocks
from storage.upkeep import Upkeep
from storage.uploads import UploadStore
from workers.dispatcher.deletion import Deletion
from workers.dispatcher.duty import Duty
from workers.dispatcher.ingest import Ingest
from workers.dispatcher.sources import BucketRule, RemoteSources
from workers.doorbell import Doorbell
from workers.fetch_url import UrlFetcher
from workers.hints import Hints
from workers.settings import DispatcherSettings


def object_duties(
    settings: DispatcherSettings, database: Database, doorbell: Doorbell, resources: ExitStack
) -> Sequence[Duty]:
    """Open what these duties need, to be closed with ``resources``. Raises: ObjectStoreUnavailable (local folder).

    Neither takes turns by the database's lock: listing a store takes longer than that lock may be held idle. Ingest
    has a lock for each job instead, and deleting a thing twice is no harm.
    """
    objects = open_store(settings)
    ingest = _ingest(settings, database, objects, doorbell, resources)
    deletion = Deletion(UploadStore(database), Upkeep(database), objects)
    return [
        Duty("ingest", ingest, interval_seconds=1.0, exclusive=False),
        Duty("deletion", deletion, interval_seconds=2.0, exclusive=False),
    ]


def _ingest(
    settings: DispatcherSettings, database: Database, objects: ObjectStore, doorbell: Doorbell, resources: ExitStack
) -> Ingest:
    locks = SessionLocks(settings.database_url.get_secret_value())
    resources.callback(locks.close)
    hints = Hints(settings.redis_url.get_secret_value())
    resources.callback(hints.close)
    ingest = Ingest(
        JobStore(database),
        objects,
        remote_sources(settings),
        doorbell,
        locks=locks,
        concurrency=settings.ingest_concurrency,
        patience_seconds=settings.ingest_patience_seconds,
        max_bytes=settings.ingest_max_bytes,
        tell=hints.tell,
    )
    # given up before what its copies use is closed
    resources.callback(ingest.close)
    return ingest


def remote_sources(settings: DispatcherSettings) -> RemoteSources:
    """Return where remote inputs may come from."""
    fetcher = UrlFetcher(settings.fetch_rules)
    if not settings.ingest_buckets:
        return RemoteSources(fetcher)
    # only where it is needed: it loads boto3
    from storage.objects.foreign import ForeignBuckets  # noqa: PLC0415

    return RemoteSources(
        fetcher,
        ForeignBuckets(settings.s3_access),
        buckets=[BucketRule.parse(rule) for rule in settings.ingest_buckets],
        own_bucket=settings.store_bucket,
    )
