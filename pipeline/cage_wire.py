"""What travels between the cage's two sides: a length-prefixed JSON head, then raw bytes.

Requests go over a Unix socket (so that the input can be handed over as an open descriptor), answers come
back over a pipe; pictures go through the memory of ``pipeline.cage_ring``.
"""

from __future__ import annotations

import json
import math
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Mapping
from typing import Any

_PREFIX = struct.Struct("<IQ")
#: a head is a few fields; anything longer is not ours
MAX_HEAD_BYTES = 1 << 20
#: read along with what is waited for: most messages are a small head alone
_AHEAD_BYTES = 1024
NO_MEMORY: Mapping[str, Any] = {
    "type": "error", "kind": "CageError", "code": "cage.memory",
    "message": "Decoding needs more memory than the cage allows.", "advice": "Send a smaller version.",
}  # fmt: skip


class SilenceError(Exception):
    """Nothing came within the allowed time."""


class GoneError(Exception):
    """The other side closed, or sent what no peer of ours sends."""


def pack(head: Mapping[str, Any], payload_bytes: int) -> bytes:
    """Return prefix and head of a message whose payload follows."""
    text = json.dumps(head, separators=(",", ":")).encode()
    return _PREFIX.pack(len(text), payload_bytes) + text


def write_all(descriptor: int, data: bytes) -> None:
    """Write to a blocking descriptor; blocks while the reader is behind. Raises: OSError."""
    left = memoryview(data)
    while left.nbytes:
        left = left[os.write(descriptor, left) :]


class Reader:
    """Reads messages from a descriptor, with bounds on silence, on time in all and on size."""

    def __init__(self, descriptor: int, max_payload_bytes: int) -> None:
        self._descriptor = descriptor
        self._max_payload_bytes = max_payload_bytes
        self._ahead = bytearray()
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def read(self, silence_seconds: float, until: float = math.inf) -> tuple[dict[str, Any], bytearray]:
        """Return the next head and payload.

        silence_seconds: the longest wait for any further byte. until: when, by the monotonic clock, the message must be
        here as a whole, however steadily it trickles. Raises: SilenceError, GoneError.
        """
        head_bytes, payload_bytes = _PREFIX.unpack(self._exactly(_PREFIX.size, silence_seconds, until))
        if head_bytes > MAX_HEAD_BYTES or payload_bytes > self._max_payload_bytes:
            raise GoneError("it sent a message larger than any of ours")
        head = _parsed(self._exactly(head_bytes, silence_seconds, until))
        return head, self._exactly(payload_bytes, silence_seconds, until)

    def _exactly(self, count: int, silence_seconds: float, until: float) -> bytearray:
        buffer = self._ahead[:count]
        del self._ahead[:count]
        done = len(buffer)
        if done == count:
            return buffer
        buffer.extend(bytes(count - done))
        with memoryview(buffer) as view, memoryview(bytearray(_AHEAD_BYTES)) as ahead:
            while done < count:
                self._wait(silence_seconds, until)
                got = os.readv(self._descriptor, [view[done:], ahead])
                if not got:
                    raise GoneError("it closed its pipe")
                self._ahead += ahead[: max(0, done + got - count)]
                done += got
        return buffer

    def _wait(self, silence_seconds: float, until: float) -> None:
        now = time.monotonic()
        if now >= until:
            raise SilenceError  # who talks without end is never silent
        deadline = min(until, now + silence_seconds)
        while True:
            left = max(0.0, deadline - time.monotonic())
            if self._poll.poll(left * 1000):
                return
            if left == 0.0:
                raise SilenceError


def send_request(control: socket.socket, head: Mapping[str, Any], payload: bytes, descriptor: int | None) -> None:
    """Send a request and, with its first byte, an open descriptor. Raises: OSError."""
    data = pack(head, len(payload)) + payload
    sent = socket.send_fds(control, [data], [descriptor]) if descriptor is not None else control.send(data)
    control.sendall(data[sent:])


def receive_request(control: socket.socket, max_payload_bytes: int) -> tuple[dict[str, Any], bytearray, int | None]:
    """Return head, payload and descriptor of the next request; blocks. Raises: GoneError."""
    prefix, descriptors, _, _ = socket.recv_fds(control, _PREFIX.size, 1)
    descriptor = descriptors[0] if descriptors else None
    prefix += _received(control, _PREFIX.size - len(prefix))
    head_bytes, payload_bytes = _PREFIX.unpack(prefix)
    if head_bytes > MAX_HEAD_BYTES or payload_bytes > max_payload_bytes:
        raise GoneError("it sent a request larger than any of ours")
    return _parsed(_received(control, head_bytes)), _received(control, payload_bytes), descriptor


def _received(control: socket.socket, count: int) -> bytearray:
    buffer = bytearray(count)
    done = 0
    while done < count:
        got = control.recv_into(memoryview(buffer)[done:])
        if not got:
            raise GoneError("it closed its socket")
        done += got
    return buffer


def _parsed(text: bytearray) -> dict[str, Any]:
    try:
        head = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GoneError("it sent a message that is not JSON") from error
    if not isinstance(head, dict) or not isinstance(head.get("type", head.get("op")), str):
        raise GoneError("it sent a message without a type")
    return head


#: called between packets and pictures: tells the parent that work goes on, raises StoppedError when it wants no more
Tick = Callable[[], None]


class StoppedError(Exception):
    """The parent wants no more of this answer."""


def no_tick() -> None:
    """Tick to nobody."""
