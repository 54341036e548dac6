"""The scratch cache: inputs on local disk, by identity, bounded in bytes, one folder per worker process."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from pipeline.errors import InputError
from storage.errors import ObjectNotFound, StorageUnavailable
from storage.job import InputRef
from storage.objects.port import ObjectStore, StoredObject, Tick, no_tick

LOCK_NAME = "lock"
#: copies kept for later: thousands of stills would never be asked for again, and each costs memory
MAX_KEPT = 512
#: what prometheus_client gives such a file at first
COUNTS_BYTES = 1 << 16
#: what nobody has used for this long is not kept, however much room there is
IDLE_SECONDS = 3600.0
#: keys remembered as erased, for an input that is just being fetched
FORGOTTEN_MAX = 10_000
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class ScratchUnavailable(StorageUnavailable):
    """This worker's local disk is full or broken: nobody's fault, and another worker may have room."""

    code = "scratch.unavailable"


class OwnFolder:
    """A folder of this process, locked while the process lives, so that ``sweep`` can tell what the dead have left."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def open(self) -> None:
        """Make and lock it. Raises: BlockingIOError when another process has it."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self.path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self) -> None:
        """Delete it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def reserve_counts(folder: Path) -> None:
    """Give the files in which this process will keep its metrics their space on the disk, while there is some.

    They are mapped into memory: a page that the disk has no room for any more would end the process by SIGBUS.
    Raises: OSError.
    """
    for kind in ("counter", "histogram"):
        handle = os.open(folder / f"{kind}_{os.getpid()}.db", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, COUNTS_BYTES)
        finally:
            os.close(handle)


@dataclass(slots=True)
class _Entry:
    path: Path
    stored: StoredObject
    used_at: float
    users: int = 0


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
        entry = self._entry(source, tick)
        try:
            yield entry.path, entry.stored
        finally:
            with self._lock:
                entry.users -= 1
                entry.used_at = self._clock()
            self._evict()

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

    def _entry(self, source: InputRef, tick: Tick) -> _Entry:
        """Return the copy, taken into use."""
        name = identity(source)
        with self._lock:
            clearings = self._clearings
            if name in self._entries:
                self._entries.move_to_end(name)
                self._entries[name].users += 1
                return self._entries[name]
        if source.key is None:
            raise ObjectNotFound("the job has no stored input")
        self._evict(room=source.size_bytes or 0)
        path = self.folder / name
        stored = self._fetch(source.key, path, tick)
        try:
            _check_same(source, stored)
        except InputError:
            path.unlink(missing_ok=True)
            raise
        with self._lock:
            entry = self._entries[name] = _Entry(path, stored, self._clock(), users=1)
            self._bytes += stored.size_bytes
            if source.key in self._forgotten or clearings != self._clearings:  # erased while it was on its way
                self._doomed.add(name)
        return entry

    def _fetch(self, key: str, path: Path, tick: Tick) -> StoredObject:
        """Copy to the local disk; on a full one, what is kept for later goes first."""
        try:
            return self._objects.fetch(key, path, tick=tick)
        except OSError as error:
            # the store's own faults have their own class: this one is of the disk under ``path``
            if error.errno not in _NO_ROOM or not self._evict(room=self._max_bytes):
                raise ScratchUnavailable(f"the worker's scratch folder fails: {error.strerror or error}") from error
        return self._fetch(key, path, tick)

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
        self._bytes -= entry.stored.size_bytes
        entry.path.unlink(missing_ok=True)
        return True


def identity(source: InputRef) -> str:
    """A file name for what makes an input that input: key, size and etag."""
    text = "\0".join([source.key or "", str(source.size_bytes), source.etag or ""])
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def sweep(root: Path) -> int:
    """Delete the folders of processes that are gone; return how many."""
    swept = 0
    for lock_path in root.glob(f"*/{LOCK_NAME}"):
        with suppress(OSError):  # locked by a living process, or gone meanwhile
            lock = os.open(lock_path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock_path.parent, ignore_errors=True)
                swept += 1
            finally:
                os.close(lock)
    return swept


def _check_same(source: InputRef, stored: StoredObject) -> None:
    sizes = (source.size_bytes, stored.size_bytes)
    digests = (source.sha256, stored.sha256)
    if (None not in sizes and sizes[0] != sizes[1]) or (None not in digests and digests[0] != digests[1]):
        raise InputError(
            "the stored input is not the one that was submitted",
            code="input.changed",
            advice="Upload the file again and submit a new job.",
        )
