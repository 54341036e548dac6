"""Reading from a store as an ordinary file, and copying an object to one."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

COPY_BYTES = 1 << 20


class _Pulled(io.RawIOBase):
    """A raw file over a function that gives the next bytes."""

    def __init__(self, pull: Callable[[int], bytes], remaining: int | None) -> None:
        self._pull = pull
        self._remaining = remaining

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        wanted = len(buffer) if self._remaining is None else min(len(buffer), self._remaining)
        piece = self._pull(wanted) if wanted else b""
        buffer[: len(piece)] = piece
        if self._remaining is not None:
            self._remaining -= len(piece)
        return len(piece)


def pulled(pull: Callable[[int], bytes], *, size: int | None = None) -> io.BufferedReader:
    """Return a buffered file over ``pull(max_bytes) -> bytes`` (nothing at the end), cut off after ``size`` bytes."""
    return io.BufferedReader(_Pulled(pull, size), buffer_size=1 << 17)


def save(body: BinaryIO, path: Path, tick: Callable[[], None] = lambda: None) -> str:
    """Copy a body to a new file at ``path`` (temporary name, then rename); return the SHA-256 as hex.

    Raises: OSError of the disk under ``path``; what ``body.read`` and ``tick`` raise. None leaves anything behind.
    """
    digest = hashlib.sha256()
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    try:
        with draft.open("xb") as file:
            while piece := body.read(COPY_BYTES):
                digest.update(piece)
                file.write(piece)
                tick()
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return digest.hexdigest()
