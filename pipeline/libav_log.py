"""What libav complained about, read back from standard error.

libav writes its own log from C. A Python callback would need the interpreter lock inside decoder threads, which
can deadlock; the child's standard error is a small file in memory, so the text is simply read back from there.
"""

from __future__ import annotations

import os
import re
import stat

_MAX_BYTES = 256 * 1024
_LINE = re.compile(rb"\[(\w+) @ 0x[0-9a-f]+\]")
_REPEATED = re.compile(rb"Last message repeated (\d+) times")
_NOT_THERE_TO_FORGET = b"mmco: unref short failure"


class LibavLog:
    """Reads the errors written since ``mark``; knows nothing where standard error is not a file of ours."""

    def __init__(self, descriptor: int | None = None) -> None:
        mode = os.fstat(descriptor).st_mode if descriptor is not None else 0
        self._descriptor = descriptor if stat.S_ISREG(mode) else None

    def mark(self) -> None:
        """Forget what was written so far, and give the room back."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)

    def text(self) -> str:
        """Return what was written since the mark, bounded."""
        return self._read().decode("ascii", "replace")

    def errors(self, decoder: str | None, *, began_amid: bool = False) -> int:
        """Count the complaints of one decoder since the mark; None: of every part of libav.

        began_amid: whether it began amid the film; then it is no complaint that a picture which led the beginning, and
        was left out, is missing when it is to be forgotten.
        """
        count, counts = 0, False
        for line in self._read().splitlines():
            if again := _REPEATED.search(line):
                count += int(again[1]) if counts else 0
            elif begun := _LINE.match(line):
                own = decoder is None or begun[1] == decoder.encode()
                counts = own and not (began_amid and line.endswith(_NOT_THERE_TO_FORGET))
                count += counts
        return count

    def _read(self) -> bytes:
        return os.pread(self._descriptor, _MAX_BYTES, 0) if self._descriptor is not None else b""
