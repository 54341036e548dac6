"""Flags in memory shared between a worker's main process and its children, made before the fork."""

from __future__ import annotations

import mmap
import struct
import time

_STOPPING = 0
_ACTIVE = 8
_HEARD = 16
_SIZE = 24


class SharedFlags:
    """Whether the worker stops, when any child last did something, and when one last heard a bell.

    Each is a single aligned write.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _SIZE)
        self._stop_here = False
        self.touch()
        self.hear()

    @property
    def stopping(self) -> bool:
        """Whether the worker, or this process of it, was told to stop."""
        return self._stop_here or self._memory[_STOPPING] == 1

    @property
    def stopping_here(self) -> bool:
        """Whether this process alone was told to stop."""
        return self._stop_here

    def stop(self) -> None:
        """Tell every process of this worker to stop; safe in a signal handler."""
        self._memory[_STOPPING] = 1

    def stop_here(self) -> None:
        """Tell this process alone to stop; safe in a signal handler."""
        self._stop_here = True

    def touch(self) -> None:
        """Note that a child is at work."""
        struct.pack_into("=d", self._memory, _ACTIVE, time.monotonic())

    @property
    def idle_seconds(self) -> float:
        """How long no child has done anything."""
        return self._since(_ACTIVE)

    def hear(self) -> None:
        """Note that a bell was heard."""
        struct.pack_into("=d", self._memory, _HEARD, time.monotonic())

    @property
    def unheard_seconds(self) -> float:
        """How long no child has heard a bell."""
        return self._since(_HEARD)

    def _since(self, place: int) -> float:
        (last,) = struct.unpack_from("=d", self._memory, place)
        return max(0.0, time.monotonic() - float(last))
