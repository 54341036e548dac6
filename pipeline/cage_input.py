"""The input of one request to the cage's child: whole on the disk, or in parts that are asked for as they are read."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.ranged_file import RangedFile
from pipeline.sniff import HEAD_BYTES, Sniffed, sniff_file


@dataclass(frozen=True, slots=True)
class Given:
    """An open input; where only parts of it are on the disk, ``file`` reads it and ``known`` tells of its packets."""

    descriptor: int
    file: RangedFile | None = None
    known: bytes = b""

    @property
    def source(self) -> int | RangedFile:
        """What a container is opened from."""
        return self.descriptor if self.file is None else self.file

    @property
    def identity(self) -> tuple[int | bytes, ...]:
        """What makes it that input; the time of a file says nothing while it is being filled."""
        if self.known:
            return (hashlib.sha256(self.known).digest(),)
        status = os.fstat(self.descriptor)
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def sniff(self) -> Sniffed:
        """Judge it by its first bytes. Raises: MediaError as ``sniff_file``."""
        if self.file is not None:
            self.file.need(0, HEAD_BYTES)
        return sniff_file(self.descriptor)


def parted(payload: bytearray, known_bytes: int) -> tuple[NDArray[np.int64], bytes]:
    """Return the wanted places and what is known of the packets."""
    end = len(payload) - known_bytes
    return np.frombuffer(payload, np.int64, end // 8), bytes(payload[end:])
