"""Sizes that a file only claims: what asks for more than any file holds is damaged, and does not need more memory.

A flipped bit makes a packet of 20 bytes one of 2 GiB. libav answers that with "cannot allocate memory", Pillow by
asking for as much; in both cases nothing was used up, and whoever reads may go on.
"""

from __future__ import annotations

import errno
import io
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

import av.error

#: no packet and no table of a container is larger: a picture of 8K, 16 bits a sample and not compressed, has 199 MB
_LARGEST_BYTES = 256 << 20


@contextmanager
def false_sizes_are_damage() -> Iterator[None]:
    """Turn libav's lack of memory while it reads a container into damage, where there is memory.

    Raises: av.error.InvalidDataError in place of MemoryError; MemoryError where memory is short indeed.
    """
    try:
        yield
    except MemoryError as error:
        if not _can_be_had(_LARGEST_BYTES):
            raise
        raise av.error.InvalidDataError(errno.EINVAL, "a size beyond any file's") from error


def _can_be_had(count: int) -> bool:
    """Return whether there are so many bytes of address space; touches none of them."""
    try:
        mmap.mmap(-1, count).close()
    except (OSError, MemoryError):
        return False
    return True


class HonestFile(io.BufferedReader):
    """Reads no more at once than the file holds: a reader makes room for what it is asked for before it looks."""

    def __init__(self, descriptor: int) -> None:
        """The descriptor is closed with it."""
        super().__init__(io.FileIO(descriptor, "rb"))
        self._file_bytes = os.fstat(descriptor).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to ``size`` bytes; all that follow for a negative size."""
        return super().read(size if size is None else min(size, self._file_bytes))
