"""The scratch cache: inputs on local disk, by identity, bounded in bytes, one folder per worker process."""

from __future__ import annotations

import errno
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from pipeline.errors import InputError
from storage.errors import ObjectNotFound, StorageUnavailable
from storage.job import InputRef
from storage.objects.port import ObjectStore, StoredObject, Tick, no_tick
from workers.own_folder import OwnFolder
from workers.sparse import SparseCopy

#: copies kept for later: thousands of stills would never be asked for again, and each costs memory
MAX_KEPT = 512
#: what nobody has used for this long is not kept, however much room there is
IDLE_SECONDS = 3600.0
#: keys remembered as erased, for an input that is just being fetched
FORGOTTEN_MAX = 10_000
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
#: behind the name of a copy with holes, which is never taken for a whole one
_HOLES = ".part"

Made = TypeVar("Made")


class ScratchUnavailable(StorageUnavailable):
    """This worker's local disk is full or broken: nobody's fault, and another worker may have room."""

    code = "scratch.unavailable"


@dataclass(slots=True)
class _Entry:
    path: Path
    stored: StoredObject
    used_at: float
    #: on the disk; of a copy with holes it grows
    held_bytes: int
    sparse: SparseCopy | None = None
    users: int = 0


#: has the bytes from one place to before another on the disk; raises what ``SparseCopy.ensure`` and a full disk raise
Fill = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Part:
    """An input of which only those bytes are on the disk that ``fill`` was asked for; None where all are."""

    path: Path
    stored: StoredObject
    fill: Fill | None


class Scratch:
    """Use as a context manager. One thread takes inputs; any other may have it forget some."""

    def __init__(
        self,
        root: Path,
        name: str,
        objects: ObjectStore,
        *,
        max_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``max_bytes``: how much is kept for later use; what is in use now comes on top."""
        self._own = OwnFolder(root / name)
        self.folder = self._own.path
        self._objects = objects
        self._max_bytes = max_bytes
        self._clock = clock
        #: over all below; never held while bytes flow
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._bytes = 0
        #: of the entries, those that go as soon as nobody uses them
        self._doomed: set[str] = set()
        self._forgotten: OrderedDict[str, None] = OrderedDict()
        #: how often everything was forgotten
        self._clearings = 0

    def __enter__(self) -> Scratch:
        self._own.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._own.close()

    @contextmanager
    def input(self, source: InputRef, tick: Tick = no_tick) -> Iterator[tuple[Path, StoredObject]]:
        """Lend the input as a local file, fetched at most once while it is kept; ``tick`` as in ``ObjectStore.fetch``.

        Raises: ObjectNotFound, ObjectStoreUnavailable, ScratchUnavailable, InputError ``input.changed`` when size or
        digest differ from what the job was submitted with.
        """
        with self._lent(self._taken(identity(source)) or self._whole(source, tick)) as entry:
            yield entry.path, entry.stored

    def holds(self, source: InputRef) -> bool:
        """Whether all of an input is on the disk."""
        with self._lock:
            return identity(source) in self._entries

    @contextmanager
    def part(self, source: InputRef, tick: Tick = no_tick) -> Iterator[Part]:
        """Lend the input as a file that is filled as it is read; what earlier segments read of it is still there.

        Raises as ``input`` does, here and from ``fill``; a digest can only be told of a whole input.
        """
        name = identity(source)
        entry = self._taken(name) or self._taken(name + _HOLES) or self._with_holes(source, tick)
        sparse = entry.sparse

        def fill(start: int, stop: int) -> None:
            assert sparse is not None
            self._fill(entry, sparse, lambda: sparse.ensure(start, stop, tick))

        with self._lent(entry):
            yield Part(entry.path, entry.stored, None if sparse is None else fill)

    def forget(self, keys: Sequence[str]) -> None:
        """Delete copies of these objects, those in use as soon as they are not; and what was not used for long."""
        with self._lock:
            for key in keys:
                self._forgotten[key] = None
            while len(self._forgotten) > FORGOTTEN_MAX:
                self._forgotten.popitem(last=False)
            erased, unused_since = set(keys), self._clock() - IDLE_SECONDS
            for name, entry in self._entries.items():
                if entry.stored.key in erased or (entry.users == 0 and entry.used_at < unused_since):
                    self._doomed.add(name)
        self._evict()

    def forget_all(self) -> None:
        """Delete every copy, those in use as soon as they are not."""
        with self._lock:
            self._clearings += 1
            self._doomed.update(self._entries)
        self._evict()

    @property
    def size_bytes(self) -> int:
        """Bytes of all kept inputs."""
        return self._bytes

    @contextmanager
    def _lent(self, entry: _Entry) -> Iterator[_Entry]:
        try:
            yield entry
        finally:
            with self._lock:
                entry.users -= 1
                entry.used_at = self._clock()
            self._evict()

    def _taken(self, name: str) -> _Entry | None:
        """Return a copy that is kept, taken into use."""
        with self._lock:
            entry = self._entries.get(name)
            if entry is not None:
                self._entries.move_to_end(name)
                entry.users += 1
            return entry

    def _whole(self, source: InputRef, tick: Tick) -> _Entry:
        """Fetch all of it."""
        key, name, clearings = _key_of(source), identity(source), self._clearings
        self._evict(room=source.size_bytes or 0)
        path = self.folder / name
        stored = self._with_room(lambda: self._objects.fetch(key, path, tick=tick))
        try:
            _check_same(source, stored)
        except InputError:
            path.unlink(missing_ok=True)
            raise
        return self._keep(name, _Entry(path, stored, self._clock(), stored.size_bytes), clearings)

    def _with_holes(self, source: InputRef, tick: Tick) -> _Entry:
        """Make an empty copy; where the store does not vouch for the object, fetch all of it and look at its digest."""
        key, name, clearings = _key_of(source), identity(source) + _HOLES, self._clearings
        stored = self._objects.stat(key)
        _check_same(source, stored)
        if source.etag is None or stored.etag != source.etag:
            return self._whole(source, tick)
        path = self.folder / name
        sparse = self._with_room(lambda: SparseCopy(self._objects, key, stored.size_bytes, path))
        return self._keep(name, _Entry(path, stored, self._clock(), 0, sparse), clearings)

    def _fill(self, entry: _Entry, sparse: SparseCopy, ensure: Callable[[], int]) -> None:
        self._with_room(ensure)
        with self._lock:
            self._bytes += sparse.held_bytes - entry.held_bytes
            entry.held_bytes = sparse.held_bytes

    def _keep(self, name: str, entry: _Entry, clearings: int) -> _Entry:
        """Take a new copy into use; ``clearings``: how often everything had been forgotten when it was begun."""
        entry.users = 1
        with self._lock:
            self._entries[name] = entry
            self._bytes += entry.held_bytes
            if entry.stored.key in self._forgotten or clearings != self._clearings:  # erased while it was on its way
                self._doomed.add(name)
        return entry

    def _with_room(self, write: Callable[[], Made]) -> Made:
        """Write to the local disk; on a full one, what is kept for later goes first."""
        while True:
            try:
                return write()
            except OSError as error:
                # the store's own faults have their own class: this one is of the disk under our folder
                if error.errno not in _NO_ROOM or not self._evict(room=self._max_bytes):
                    raise ScratchUnavailable(f"the worker's scratch folder fails: {error.strerror or error}") from error

    def _evict(self, room: int = 0) -> int:
        """Throw out the longest unused until all and ``room`` more bytes fit, never what is in use; return how many."""
        evicted = 0
        with self._lock:
            for name in [name for name in self._doomed if self._entries[name].users == 0]:
                evicted += self._drop(name)
            while self._bytes + room > self._max_bytes or len(self._entries) > MAX_KEPT:
                # from the longest unused on; those in use are few
                name = next((name for name, entry in self._entries.items() if entry.users == 0), "")
                if not self._drop(name):
                    break
                evicted += 1
        return evicted

    def _drop(self, name: str) -> bool:
        entry = self._entries.pop(name, None)
        if entry is None:
            return False
        self._doomed.discard(name)
        self._bytes -= entry.held_bytes
        entry.path.unlink(missing_ok=True)
        return True


def identity(source: InputRef) -> str:
    """A file name for what makes an input that input: key, size and etag."""
    text = "\0".join([source.key or "", str(source.size_bytes), source.etag or ""])
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def _key_of(source: InputRef) -> str:
    if source.key is None:
        raise ObjectNotFound("the job has no stored input")
    return source.key


def _check_same(source: InputRef, stored: StoredObject) -> None:
    sizes = (source.size_bytes, stored.size_bytes)
    digests = (source.sha256, stored.sha256)
    if (None not in sizes and sizes[0] != sizes[1]) or (None not in digests and digests[0] != digests[1]):
        raise InputError(
            "the stored input is not the one that was submitted",
            code="input.changed",
            advice="Upload the file again and submit a new job.",
        )
