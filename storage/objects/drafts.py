"""Files being written, on the same file system as the place they will be renamed to."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from storage.errors import ObjectNotFound, ObjectStoreFull, ObjectStoreUnavailable
from storage.objects.folder import remove_older

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn the operating system's errors into the store's: the disk is full, broken, forbidden or not mounted.

    Keep it around the store's own files alone, never around a caller's stream.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise ObjectStoreFull("no space is left for objects") from error
        raise ObjectStoreUnavailable(f"the object store's folder fails: {error.strerror or error}") from error


@contextmanager
def reading(key: str, home: Path) -> Iterator[None]:
    """As ``disk_errors``, but a missing file is an unknown object, if only the folder of the store is there.

    Else a disk that is not mounted would look like a store whose objects are all gone.
    """
    with disk_errors():
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            if not home.is_dir():
                raise
            raise ObjectNotFound(f"the object store holds no {key}") from error


class Draft:
    """One file being written."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle = handle

    def write(self, piece: bytes) -> None:
        """Append all of a piece. Raises: ObjectStoreFull, ObjectStoreUnavailable."""
        left = memoryview(piece)
        with disk_errors():
            while left:
                left = left[os.write(self._handle, left) :]

    def seal(self) -> None:
        """Bring every byte to the disk. Raises: ObjectStoreFull, ObjectStoreUnavailable."""
        with disk_errors():
            os.fsync(self._handle)


class Drafts:
    """Makes drafts, and removes each that was not moved to its place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def new(self) -> Iterator[Draft]:
        """Open a draft; whatever happens, its file is not here any more afterwards."""
        path = self._folder / secrets.token_hex(16)
        with disk_errors():
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o640)
        try:
            yield Draft(path, handle)
        finally:
            os.close(handle)
            path.unlink(missing_ok=True)

    def discard_older(self, older_than: datetime, limit: int) -> int:
        """Delete drafts that a killed process left; return how many."""
        return remove_older(self._folder, older_than, limit)
