"""What travels between the cage's two sides: a length-prefixed JSON head, then raw bytes.

Requests go over a Unix socket (so that the input can be handed over as an open descriptor), answers come
back over a pipe.
"""

from __future__ import annotations

import json
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


class SilenceError(Exception):
    """Nothing came within the allowed time."""


class GoneError(Exception):
    """The other side closed, or sent what no peer of ours sends."""


def pack(head: Mapping[str, Any], payload_bytes: int) -> bytes:
    """Return prefix and head of a message whose payload follows."""
    text = json.dumps(head, separators=(",", ":")).encode()
    return _PREFIX.pack(len(text), payload_bytes) + text


def write_message(descriptor: int, head: Mapping[str, Any], payload: memoryview | bytes = b"") -> None:
    """Write one message to a blocking descriptor; blocks while the reader is behind. Raises: OSError."""
    body = memoryview(payload).cast("B") if len(payload) else memoryview(b"")
    for part in (memoryview(pack(head, body.nbytes)), body):
        done = 0
        while done < part.nbytes:
            done += os.write(descriptor, part[done:])


class Reader:
    """Reads messages from a descriptor, with a bound on silence and on size."""

    def __init__(self, descriptor: int, max_payload_bytes: int) -> None:
        self._descriptor = descriptor
        self._max_payload_bytes = max_payload_bytes
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def read(self, silence_seconds: float | None = None) -> tuple[dict[str, Any], bytearray]:
        """Return the next head and payload.

        silence_seconds: the longest wait for any further byte; None waits for ever. Raises: SilenceError, GoneError.
        """
        prefix = self._exactly(_PREFIX.size, silence_seconds)
        head_bytes, payload_bytes = _PREFIX.unpack(prefix)
        if head_bytes > MAX_HEAD_BYTES or payload_bytes > self._max_payload_bytes:
            raise GoneError("a message larger than any that is sent")
        try:
            head = json.loads(bytes(self._exactly(head_bytes, silence_seconds)))
        except ValueError as error:
            raise GoneError("a message that is not JSON") from error
        if not isinstance(head, dict):
            raise GoneError("a message that is not an object")
        return head, self._exactly(payload_bytes, silence_seconds)

    def _exactly(self, count: int, silence_seconds: float | None) -> bytearray:
        buffer = bytearray(count)
        view = memoryview(buffer)
        done = 0
        while done < count:
            self._wait(silence_seconds)
            got = os.readv(self._descriptor, [view[done:]])
            if not got:
                raise GoneError("the other side closed")
            done += got
        return buffer

    def _wait(self, silence_seconds: float | None) -> None:
        deadline = None if silence_seconds is None else time.monotonic() + silence_seconds
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if self._poll.poll(None if left is None else left * 1000):
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
    if not prefix:
        raise GoneError("the other side closed")
    reader = Reader(control.fileno(), max_payload_bytes)
    prefix += bytes(reader._exactly(_PREFIX.size - len(prefix), None))  # the same module's reading loop
    head_bytes, payload_bytes = _PREFIX.unpack(prefix)
    if head_bytes > MAX_HEAD_BYTES or payload_bytes > max_payload_bytes:
        raise GoneError("a request larger than any that is sent")
    head = json.loads(bytes(reader._exactly(head_bytes, None)))
    return head, reader._exactly(payload_bytes, None), descriptor


#: called between packets and pictures: tells the parent that work goes on, raises StoppedError when it wants no more
Tick = Callable[[], None]


class StoppedError(Exception):
    """The parent wants no more of this answer."""


def no_tick() -> None:
    """Tick to nobody."""
