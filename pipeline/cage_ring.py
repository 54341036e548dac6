"""The frames' way out of the cage: slots of shared memory, filled in turn, each given back by a one-byte token.

The parent makes the memory, as large as the child asks for and no larger than allowed, and seals its size: a child that
could cut it short would end the parent with SIGBUS. Slots are filled in strict turn, so neither side names one and
none can be lied about. The parent copies a picture out before it gives the slot back: what a model reads, no child can
change any more. A small ring stays for the next answer, since its pages cost more than the copies; after an answer that
was stopped, whose pictures may not all have been taken, both sides let go of it. Nothing of it has a name in the file
system.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import select

import numpy as np
from numpy.typing import NDArray

from pipeline.cage_wire import StoppedError

#: enough for the decoder to work a usual batch ahead
_SLOTS = 8
#: pictures so large that eight take more than this get fewer slots; the largest ones take turns in one
_RING_BYTES = 64 << 20
#: a ring that is no larger outlives its answer: 720p and less, shrunk to 640 pixels wide
_STAYS_BYTES = 8 << 20
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_TOKEN = b"\0"


def slots_of(slot_bytes: int) -> int:
    """Return how many slots a ring for pictures of that size has, 1 to 8."""
    return max(1, min(_SLOTS, _RING_BYTES // slot_bytes))


def stays(slot_bytes: int) -> bool:
    """Say whether a ring of such slots is kept for the next answer; both sides must agree."""
    return slots_of(slot_bytes) * slot_bytes <= _STAYS_BYTES


class Ring:
    """The parent's side: may read the slots, and copies pictures out of them."""

    def __init__(self, slot_bytes: int) -> None:
        """Raises: OSError (no memory, no descriptors)."""
        self.slot_bytes = slot_bytes
        self._slots = slots_of(slot_bytes)
        self._taken = 0
        self._descriptor = os.memfd_create("cage-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self._descriptor, self._slots * slot_bytes)
            fcntl.fcntl(self._descriptor, fcntl.F_ADD_SEALS, _SEALS)
            self._memory = mmap.mmap(self._descriptor, self._slots * slot_bytes, prot=mmap.PROT_READ)
        except BaseException:
            os.close(self._descriptor)
            raise

    @property
    def descriptor(self) -> int:
        """The memory, to be handed to the child."""
        return self._descriptor

    def take(self, height: int, width: int) -> NDArray[np.uint8]:
        """Return a copy of the picture in the next slot; uint8, (height, width, 3), at most ``slot_bytes`` large."""
        start = self._taken % self._slots * self.slot_bytes
        self._taken += 1
        return np.frombuffer(self._memory, np.uint8, 3 * height * width, start).reshape(height, width, 3).copy()

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()
        os.close(self._descriptor)


class Tokens:
    """The parent's end of the pipe on which slots are given back; never blocks."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)

    def give(self) -> None:
        """Give the oldest slot back. Raises: OSError (the child is gone, or takes no tokens and yet sends frames)."""
        os.write(self._descriptor, _TOKEN)

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._descriptor)


class Slots:
    """The child's side: puts pictures into the slots, waiting for one where the parent is behind."""

    def __init__(self, memory: int, slot_bytes: int, tokens: int, control: int) -> None:
        """memory, tokens, control: open descriptors; ``memory`` is closed here. Raises: MemoryError."""
        self.slot_bytes = slot_bytes
        self._slots = slots_of(slot_bytes)
        self.free = self._slots
        self.group = max(1, self._slots // 2)
        self._put = 0
        self._tokens = tokens
        self._control = control
        self._poll = select.poll()
        for descriptor in (tokens, control):
            self._poll.register(descriptor, select.POLLIN)
        try:
            self._memory = mmap.mmap(memory, self._slots * slot_bytes)
        except OSError as error:
            raise MemoryError from error
        finally:
            os.close(memory)
        self._forget_tokens()

    def put(self, picture: NDArray[np.uint8]) -> None:
        """Copy a picture into the next slot; uint8, (h, w, 3), strided or not. Raises: StoppedError while it waits."""
        while not self.free:
            self._wait()
        start = self._put % self._slots * self.slot_bytes
        slot = np.frombuffer(self._memory, np.uint8, picture.size, start).reshape(picture.shape)
        np.copyto(slot, picture)
        self._put += 1
        self.free -= 1

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()

    def _wait(self) -> None:
        ready = dict(self._poll.poll())
        if self._tokens in ready:
            self.free += len(os.read(self._tokens, self._slots))
        elif self._control in ready:
            raise StoppedError

    def _forget_tokens(self) -> None:
        """Drop those of an earlier ring; the parent gave them before it sent this one."""
        os.set_blocking(self._tokens, False)
        try:
            while os.read(self._tokens, 4096):
                pass
        except BlockingIOError:
            return
