"""Copies of the zip archives that torch reads, made of only what was looked through."""

from __future__ import annotations

import errno
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pipeline.errors import ModelError, ModelUnavailable, PipelineError

_CHUNK = 1024 * 1024
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def file_beside(source: Path) -> Iterator[IO[bytes]]:
    """Yield a nameless file on the disk of ``source``; the usual place for such may be small, or be memory."""
    folder = source.parent if os.access(source.parent, os.W_OK) else None
    file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed below, without what closing may raise
    try:
        yield file
    finally:
        with suppress(OSError):  # the rest of what a full disk did not take; that was told where it was written
            file.close()


def copy_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, copy: zipfile.ZipFile, inner: str) -> None:
    """Copy a member piece by piece to the name ``inner`` in the folder that torch expects in an archive."""
    with archive.open(info) as read, copy.open(f"model/{inner}", "w", force_zip64=True) as write:
        while piece := read.read(_CHUNK):
            write.write(piece)


def judged(error: Exception, refused: ModelError) -> PipelineError:
    """Return what an error while copying means: a full disk, or else ``refused``, since the archive is broken."""
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return ModelUnavailable(f"no room on this disk for a copy of the weights: {error.strerror}")
    return refused
