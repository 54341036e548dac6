"""A body on its way into the store: counted, hashed, limited."""

from __future__ import annotations

import hashlib
import io
from typing import BinaryIO

from storage.errors import ObjectTooLarge


class MeasuredBody:
    """Reads a body once, in pieces of the reader's choice."""

    def __init__(self, body: BinaryIO | bytes, limit_bytes: int | None = None) -> None:
        """``limit_bytes``: the largest size to let through; None for any."""
        self._body: BinaryIO = io.BytesIO(body) if isinstance(body, bytes) else body
        self._limit_bytes = limit_bytes
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        """Hex digest of what was read so far."""
        return self._hash.hexdigest()

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes, nothing at the end.

        Raises: ObjectTooLarge as soon as more than the limit has come.
        """
        piece = self._body.read(size)
        self.size_bytes += len(piece)
        if self._limit_bytes is not None and self.size_bytes > self._limit_bytes:
            raise ObjectTooLarge(f"the body is larger than the limit of {self._limit_bytes} bytes")
        self._hash.update(piece)
        return piece

    def read_full(self, size: int) -> bytearray:
        """Return exactly ``size`` bytes, fewer only at the end: sockets and pipes give what they have."""
        # grown in place: joining pieces would hold everything twice
        whole = bytearray()
        while len(whole) < size and (piece := self.read(min(size - len(whole), 1 << 20))):
            whole += piece
        return whole
