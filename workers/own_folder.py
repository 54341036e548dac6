"""Folders of one process each on the scratch disk: locked while it lives, swept when it is dead."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path

LOCK_NAME = "lock"
#: what prometheus_client gives such a file at first
COUNTS_BYTES = 1 << 16


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
