"""A file that is filled while it is read: what libav reads through where only parts of an input are on the disk."""

from __future__ import annotations

import io
import os
from collections.abc import Callable

#: asks for the bytes from one place to before another; returns when they are there
Ask = Callable[[int, int], None]

#: bytes told of at once, so that libav's small reads do not each ask
BLOCK_BYTES = 1 << 20


class RangedFile(io.RawIOBase):
    """Reads an open descriptor, each block only after it was asked for. One thread at a time."""

    def __init__(self, descriptor: int, ask: Ask) -> None:
        """The descriptor stays the caller's; its size is that of the whole input."""
        super().__init__()
        self._descriptor = descriptor
        self._ask = ask
        self._size = os.fstat(descriptor).st_size
        self._at = 0
        self._here = bytearray(-(-self._size // BLOCK_BYTES))
        self._hole = (self._size, self._size)
        self._patch = (0, b"")

    def leave_out(self, start: int, stop: int) -> None:
        """From now on what begins at ``stop`` follows what ends at ``start``; both are places on the disk."""
        self._hole = (start, stop)

    def lay_over(self, start: int, data: bytes) -> None:
        """From now on these bytes are read at ``start`` instead of the file's own."""
        self._patch = (start, data)

    def whole(self) -> RangedFile:
        """Return the file itself, as it is on the disk again, at its start."""
        self._hole, self._patch, self._at = (self._size, self._size), (0, b""), 0
        return self

    def need(self, start: int, stop: int) -> None:
        """Have these bytes on the disk, as far as the input has them. Raises what ``ask`` raises."""
        first, end = start // BLOCK_BYTES, -(-min(stop, self._size) // BLOCK_BYTES)
        first = self._here.find(0, first, end)
        if first >= 0:
            self._ask(first * BLOCK_BYTES, min(end * BLOCK_BYTES, self._size))
            self._here[first:end] = b"\1" * (end - first)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to ``size`` bytes from where we stand, fewer before what is left out; all for a negative size."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(BLOCK_BYTES), b""))
        hole, after = self._hole
        ahead = self._at < hole
        place = self._at if ahead else self._at + after - hole
        stop = min(place + size, hole if ahead else self._size)
        if stop <= place:
            return b""
        self.need(place, stop)
        data = self._patched(os.pread(self._descriptor, stop - place, place), place)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Stand elsewhere; return where. Raises: OSError before the start."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        if base + offset < 0:
            raise OSError("before the start of the file")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Return where we stand."""
        return self._at

    @property
    def _length(self) -> int:
        hole, after = self._hole
        return self._size - (after - hole)

    def _patched(self, data: bytes, place: int) -> bytes:
        start, patch = self._patch
        first, end = max(start, place), min(start + len(patch), place + len(data))
        if first >= end:
            return data
        return data[: first - place] + patch[first - start : end - start] + data[end - place :]
