"""A false clock for one process and its children, by libfaketime; the machine's own is never touched."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping
from pathlib import Path

#: a jump is seen by then
NOTICE_SECONDS = 3.0


class NoFalseClock(Exception):
    """The library is not there; the message says what to do."""


class FalseClock:
    """An offset in a file, which the processes started with ``environment`` read whenever they look at the clock."""

    def __init__(self, folder: Path, offset_seconds: int = 0) -> None:
        """``folder``: of our own; made readable for the user PostgreSQL may run as. Raises: NoFalseClock."""
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        self._library = folder / "libfaketime.so.1"
        shutil.copyfile(_installed(), self._library)
        self._library.chmod(0o755)
        self._file = folder / "offset"
        self.set(offset_seconds)

    @property
    def environment(self) -> Mapping[str, str]:
        """What the process is started with. Its monotonic clock and the times of files stay true."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            # a jump is seen by all processes of the part in the same instant
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, offset_seconds: int) -> None:
        """Jump to the machine's time plus so much, within ``NOTICE_SECONDS``."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{offset_seconds:+d}\n")
        fresh.chmod(0o644)
        fresh.replace(self._file)


def _installed() -> Path:
    found = importlib.util.find_spec("libfaketime")
    if found is None or found.origin is None:
        raise NoFalseClock("the package libfaketime is not installed: run `make setup-dev`")
    library = Path(found.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
    if not library.exists():
        raise NoFalseClock(f"{library} is not there")
    return library
