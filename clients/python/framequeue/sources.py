"""Where an input comes from: a file, bytes in memory, an address the server fetches, or an object in a bucket."""

from __future__ import annotations

import io
import mimetypes
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from framequeue.errors import APIConnectionError, ConfigurationError

#: called with (bytes sent, bytes in all); may be called from several threads, never two at once
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A regular file; ``modified_ns`` tells whether it is still the one whose upload was begun."""

    path: Path
    size_bytes: int
    modified_ns: int

    @property
    def filename(self) -> str:
        """Name without folders, as text that can be sent."""
        return self.path.name.encode("utf-8", "replace").decode()

    def open(self) -> BinaryIO:
        """Open for reading from the start."""
        return self.path.open("rb")


@dataclass(frozen=True, slots=True)
class InMemory:
    """Bytes, with a name for the server to show."""

    data: bytes
    filename: str

    @property
    def size_bytes(self) -> int:
        """Length."""
        return len(self.data)

    def open(self) -> BinaryIO:
        """Open for reading from the start; the bytes are not copied."""
        return io.BytesIO(self.data)


@dataclass(frozen=True, slots=True)
class Remote:
    """An input that the server gets by itself."""

    #: "url" or "object"
    kind: str
    address: str


Local = LocalFile | InMemory


def source_of(given: str | os.PathLike[str] | bytes | bytearray, filename: str | None = None) -> Local | Remote:
    """Tell what a caller means. Text that begins with http://, https:// or s3:// is an address, other text a path.

    Raises: ConfigurationError with code file.unreadable or file.empty.
    """
    if isinstance(given, bytes | bytearray):
        if not given:
            raise ConfigurationError("the input holds no bytes", code="file.empty")
        return InMemory(bytes(given), filename or "input")
    scheme = urlsplit(given).scheme if isinstance(given, str) and "://" in given else ""
    if scheme in {"http", "https"}:
        return Remote("url", str(given))
    if scheme == "s3":
        return Remote("object", str(given))
    return _file(Path(given))


def _file(path: Path) -> LocalFile:
    try:
        found = path.stat()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}", code="file.unreadable") from error
    if not stat.S_ISREG(found.st_mode):
        raise ConfigurationError(f"{path} is not a file", code="file.unreadable", advice="for folders: --recursive")
    if not found.st_size:
        raise ConfigurationError(f"{path} is empty", code="file.empty")
    return LocalFile(path, found.st_size, found.st_mtime_ns)


def content_type(filename: str) -> str:
    """Guess the type by the name; the server looks at the bytes anyway."""
    return mimetypes.guess_type(filename)[0] or "application/octet-stream"


class Meter:
    """Counts bytes of several threads and tells their sum, one call at a time."""

    def __init__(self, total: int, on_progress: OnProgress | None, stop: threading.Event | None = None) -> None:
        self._total = total
        self._on_progress = on_progress
        self._sent = 0
        self._stop = stop
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Count; negative when a try is repeated. Raises: APIConnectionError once ``stop`` is set."""
        if self._stop is not None and self._stop.is_set():
            raise APIConnectionError("the client was closed", code="client.closed")
        with self._lock:
            self._sent += count
            if self._on_progress is not None:
                self._on_progress(self._sent, self._total)


class Stretch(io.RawIOBase):
    """Bytes ``start`` to ``start + size`` of a file as a file of its own, counted as they are read."""

    def __init__(self, body: BinaryIO, start: int, size: int, meter: Meter) -> None:
        super().__init__()
        self._body = body
        self._start = start
        self._size = size
        self._at = 0
        self._meter = meter
        body.seek(start)

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be read again, which takes back what was counted."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position; nothing is counted until bytes are read from there."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, min(self._size, base + offset))
        self._body.seek(self._start + self._at)
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes of what is left."""
        left = self._size - self._at
        piece = self._body.read(left if size < 0 else min(size, left))
        self._at += len(piece)
        if piece:
            self._meter.add(len(piece))
        return piece

    def close(self) -> None:
        """Close the file too."""
        self._body.close()
        super().close()
