"""A copy of a file with holes, filled on demand, that notes what was asked of it."""

from __future__ import annotations

from pathlib import Path


class Hole:
    """A sparse copy in ``folder``; nothing of it is there before it is asked for."""

    def __init__(self, whole: Path, folder: Path) -> None:
        self._whole = whole
        self.path = folder / "copy"
        self.asked: list[tuple[int, int]] = []
        with self.path.open("wb") as copy:
            copy.truncate(whole.stat().st_size)

    def fill(self, start: int, stop: int) -> None:
        """Put bytes on the disk."""
        self.asked.append((start, stop))
        with self._whole.open("rb") as whole, self.path.open("r+b") as copy:
            whole.seek(start)
            copy.seek(start)
            copy.write(whole.read(stop - start))

    @property
    def asked_bytes(self) -> int:
        """How many bytes were asked for."""
        return sum(stop - start for start, stop in self.asked)
