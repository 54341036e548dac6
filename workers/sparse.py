"""A copy of an object of which only those bytes are on the local disk that somebody asked for."""

from __future__ import annotations

from pathlib import Path

from storage.errors import ObjectStoreUnavailable
from storage.objects.port import ObjectStore, Tick, no_tick

#: the least that is fetched at a time
BLOCK_BYTES = 1 << 20
#: blocks fetched at once, where one after the other is asked for: a question to the store costs more than a MiB
MOST_BLOCKS = 8
_PIECE_BYTES = 1 << 18


class SparseCopy:
    """A file with holes. One thread at a time."""

    def __init__(self, objects: ObjectStore, key: str, size_bytes: int, path: Path) -> None:
        """Make the file, as large as the object. Raises: OSError."""
        self.path = path
        self.size_bytes = size_bytes
        #: bytes that are on the disk
        self.held_bytes = 0
        self._objects = objects
        self._key = key
        self._here = bytearray(-(-size_bytes // BLOCK_BYTES))
        self._after_last = -1
        self._ahead = 1
        with path.open("wb") as file:
            file.truncate(size_bytes)

    def ensure(self, start: int, stop: int, tick: Tick = no_tick) -> int:
        """Have the bytes from ``start`` to before ``stop`` on the disk; return how many were fetched for it.

        ``tick`` is called between pieces; what it raises stops the copy, and the block is fetched anew next time.
        Raises: ValueError (outside the object), OSError (of the disk), ObjectNotFound, ObjectStoreUnavailable.
        """
        if not 0 <= start <= stop <= self.size_bytes:
            raise ValueError(f"bytes {start} to {stop} of an object of {self.size_bytes}")
        held = self.held_bytes
        block, last = start // BLOCK_BYTES, -(-stop // BLOCK_BYTES)
        while (block := self._here.find(0, block, last)) >= 0:
            block = self._fetch(block, self._end_of_hole(block, last), tick)
        return self.held_bytes - held

    def _end_of_hole(self, block: int, last: int) -> int:
        """Return where to stop fetching: at what is asked for, or beyond it where reading goes on and on."""
        self._ahead = min(2 * self._ahead, MOST_BLOCKS) if block == self._after_last else 1
        wished = min(len(self._here), max(last, block + self._ahead), block + MOST_BLOCKS)
        there = self._here.find(1, block, wished)
        return wished if there < 0 else there

    def _fetch(self, block: int, end: int, tick: Tick) -> int:
        start, stop = block * BLOCK_BYTES, min(end * BLOCK_BYTES, self.size_bytes)
        at = start
        with self.path.open("r+b") as file, self._objects.open(self._key, start, stop) as body:
            file.seek(start)
            while at < stop:
                tick()
                piece = body.read(min(_PIECE_BYTES, stop - at))
                if not piece:
                    raise ObjectStoreUnavailable(f"the store gave {at - start} bytes of {stop - start}")
                file.write(piece)
                at += len(piece)
        self._here[block:end] = b"\1" * (end - block)
        self.held_bytes += stop - start
        self._after_last = end
        return end
