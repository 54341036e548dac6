"""The child's side of the conversation: takes requests, hands pictures over, tells that it works, stops when asked."""

from __future__ import annotations

import gc
import os
import select
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import cage_limits
from pipeline.cage_ring import Slots, stays
from pipeline.cage_wire import NO_MEMORY, GoneError, StoppedError, pack, receive_request, write_all

_TICK_SECONDS = 0.5
#: pictures are told of in groups, as each waking of the parent costs it more than the copy; none waits longer than this
_GROUP_SECONDS = 0.25
_MAX_REQUEST_BYTES = 64 << 20


class Dialogue:
    """The conversation with the parent."""

    def __init__(self, control: socket.socket, answers: int, tokens: int, answer_seconds: float) -> None:
        self._control = control
        self._answers = answers
        self._tokens = tokens
        self._slots: Slots | None = None
        self._untold = bytearray()
        self._waiting, self._group = 0, 1
        self._begun = self._stopped = False
        self._cpu_seconds = 2 * answer_seconds + 5
        self._said_at = self._allowed_at = time.monotonic()
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)

    def serve(self, service: Any) -> None:
        """Answer requests until the parent closes its end."""
        while True:
            try:
                head, payload, descriptor = receive_request(self._control, _MAX_REQUEST_BYTES)
            except (GoneError, OSError):
                return
            if head["op"] == "stop":
                self._drop_slots()
                continue  # it may have crossed with the end of the answer it was meant for
            self._allow_cpu()
            self._stopped = False
            try:
                self._answer(service.answer(head, payload, descriptor, self.tick, self.ask))
            finally:
                if descriptor is not None:
                    os.close(descriptor)
                gc.collect()  # decoders hold threads and buffers until their reference cycles are found

    def _answer(self, answer: Iterator[tuple[Mapping[str, Any], Any]]) -> None:
        self._begun = ended = False
        try:
            for head, payload in answer:
                if head["type"] == "frame":
                    self._hand_over(head, payload)
                elif head["type"] == "skipped":
                    self._hold_back(head)
                else:
                    self.say(head, payload)
                    ended = not self._stopped
                    return  # the last message: what comes now is the next request, perhaps here already
                self._stop_if_asked()
        except StoppedError:
            self.say({"type": "end", "warnings": []})
        except MemoryError:
            self.say(NO_MEMORY)
        finally:
            if self._slots is not None and not (ended and stays(self._slots.slot_bytes)):
                self._drop_slots()

    def _hand_over(self, head: Mapping[str, Any], picture: NDArray[np.uint8]) -> None:
        """Put a picture into a slot and note that it is there; asks for larger slots where it does not fit."""
        if self._slots is None or picture.nbytes > self._slots.slot_bytes:
            self._drop_slots()
            self._slots = self._larger_slots(picture.nbytes)
            self._group = self._slots.group
        if not self._begun:
            self._waiting = self._group  # the first one is told at once
            self._begun = True
        if not self._slots.free:
            self._flush()
        self._slots.put(picture)
        self._hold_back(head)

    def _hold_back(self, head: Mapping[str, Any]) -> None:
        """Note a message; it is said with the ones after it, or when the time comes."""
        self._untold += pack(head, 0)
        self._waiting += 1
        if self._waiting >= self._group or time.monotonic() - self._said_at > _GROUP_SECONDS:
            self._flush()

    def _larger_slots(self, slot_bytes: int) -> Slots:
        self.say({"type": "room", "bytes": slot_bytes})
        head, _, memory = receive_request(self._control, 0)
        if head["op"] != "ring" or memory is None:
            raise StoppedError
        return Slots(memory, slot_bytes, self._tokens, self._control.fileno())

    def _drop_slots(self) -> None:
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.close()

    def say(self, head: Mapping[str, Any], payload: bytes = b"") -> None:
        """Write one message, after those that were held back; blocks while the parent is behind."""
        self._untold += pack(head, len(payload))
        self._untold += payload
        self._flush()

    def tick(self) -> None:
        """Tell the parent now and then that work goes on; raise StoppedError when it wants no more."""
        self._stop_if_asked()
        silent = time.monotonic() - self._said_at
        if self._waiting and silent > _GROUP_SECONDS:
            self._flush()
        elif silent > _TICK_SECONDS:
            self.say({"type": "tick"})

    def ask(self, start: int, stop: int) -> None:
        """Have the parent put these bytes of the input on the disk; raise StoppedError when it wants no more.

        Again and again, since libav takes the first one for an end of the file, and reads elsewhere.
        """
        if self._stopped:
            raise StoppedError
        self.say({"type": "need", "start": start, "stop": stop})
        head, _, _ = receive_request(self._control, 0)
        self._allow_cpu()
        self._stopped = head["op"] != "have"
        if self._stopped:
            raise StoppedError

    def _flush(self) -> None:
        write_all(self._answers, bytes(self._untold))
        self._untold.clear()
        self._waiting = 0
        self._said_at = time.monotonic()
        if self._said_at - self._allowed_at > _TICK_SECONDS:
            self._allow_cpu()

    def _allow_cpu(self) -> None:
        cage_limits.allow_cpu(self._cpu_seconds)
        self._allowed_at = time.monotonic()

    def _stop_if_asked(self) -> None:
        if self._poll.poll(0):
            raise StoppedError
