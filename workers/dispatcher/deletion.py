"""Duty: throw away what nobody names: expired uploads at once, and litter that crashes and deletions left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from prometheus_client import Counter

from storage.ids import is_id
from storage.objects.keys import OWNED_PREFIXES, owner_id
from storage.objects.port import ObjectStore, StoredObject
from storage.upkeep import Upkeep
from storage.uploads import UploadStore
from workers.logs import get_logger

log = get_logger(__name__)

DELETED = Counter("framequeue_deleted_objects_total", "Objects deleted because no row names them.", ["why"])

#: a row may follow its object late, by a long upload or a skewed clock, but never by this much
LITTER_AGE = timedelta(hours=48)
#: uploads that expire in one pass, and objects looked at in one pass
UPLOADS_PER_PASS = 100
OBJECTS_PER_PASS = 1000
#: pause between two walks over the whole store
REST_SECONDS = 3600.0


@dataclass(slots=True)
class _Cursor:
    """Where the walk stands."""

    prefixes: Sequence[str] = OWNED_PREFIXES
    at: int = 0
    after: str | None = None

    @property
    def prefix(self) -> str:
        return self.prefixes[self.at]

    def next_prefix(self) -> bool:
        """Go on to the next prefix; return whether that was the last one."""
        self.at = (self.at + 1) % len(self.prefixes)
        self.after = None
        return self.at == 0


def made_at(row_id: str) -> datetime | None:
    """The instant inside an id (UUIDv7, milliseconds since the epoch), or None for anything else."""
    if not is_id(row_id) or row_id[14] != "7":
        return None
    return datetime.fromtimestamp(int(row_id.replace("-", "")[:12], 16) / 1000, UTC)


class Deletion:
    """Walks the store by key, which is by age, and asks of each old object whether a row names it."""

    def __init__(
        self,
        uploads: UploadStore,
        upkeep: Upkeep,
        objects: ObjectStore,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._uploads = uploads
        self._upkeep = upkeep
        self._objects = objects
        self._clock = clock
        self._cursor = _Cursor()
        self._rest_until = float("-inf")

    def run_pass(self) -> None:
        """Expire some uploads, look at some objects. Raises: DatabaseUnavailable, ObjectStoreUnavailable."""
        self._expire_uploads()
        if self._clock() >= self._rest_until:
            self._sweep()

    def _expire_uploads(self) -> None:
        # one whose deletion fails here is litter, and found by the walk
        for upload in self._uploads.expire(UPLOADS_PER_PASS):
            self._objects.abort_multipart(upload.key, upload.multipart_id)
            self._objects.delete([upload.key])
            DELETED.labels("upload expired").inc()

    def _sweep(self) -> None:
        """Look at the next objects; at the end of the walk, also at writes that never became objects."""
        limit = self._upkeep.clock() - LITTER_AGE
        seen = list(islice(self._objects.list(self._cursor.prefix, after=self._cursor.after), OBJECTS_PER_PASS))
        old = _older_than(limit, seen)
        doomed = self._upkeep.unowned({item.key: owner_id(item.key) for item in old})
        if doomed:
            self._objects.delete(doomed)
            DELETED.labels("unowned").inc(len(doomed))
            log.info("litter.deleted", objects=len(doomed), prefix=self._cursor.prefix)
        self._cursor.after = seen[-1].key if seen else None
        # keys go by id and ids by age: behind the first young one all are young
        prefix_is_over = len(seen) < OBJECTS_PER_PASS or _is_young(seen[-1], limit)
        if prefix_is_over and self._cursor.next_prefix():
            self._end_walk(limit)

    def _end_walk(self, limit: datetime) -> None:
        self._rest_until = self._clock() + REST_SECONDS
        unfinished = self._objects.discard_unfinished(limit)
        if unfinished:
            DELETED.labels("unfinished").inc(unfinished)
            log.info("litter.discarded", writes=unfinished)


def _older_than(limit: datetime, items: Sequence[StoredObject]) -> list[StoredObject]:
    """Objects whose key holds the id of a row, made before ``limit``; what is not ours is left alone."""
    return [item for item in items if (made := made_at(owner_id(item.key))) is not None and made < limit]


def _is_young(item: StoredObject, limit: datetime) -> bool:
    made = made_at(owner_id(item.key))
    return made is not None and made >= limit
