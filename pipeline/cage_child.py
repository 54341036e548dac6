"""The process inside the cage: opens media, answers one request after another, holds nothing worth stealing.

Started by ``pipeline.cage`` as ``python -m pipeline.cage_child <control> <answers> <life> <settings>``. Inputs come as
open descriptors; after the start no file can be opened by name. Never imports torch.
"""

from __future__ import annotations

import gc
import json
import os
import select
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline import cage_limits
from pipeline.cage_wire import GoneError, StoppedError, receive_request, write_message

_TICK_SECONDS = 0.5
_MAX_REQUEST_BYTES = 64 << 20


def main(arguments: list[str]) -> None:
    """Give up privileges, say so, then answer until the parent closes."""
    control_descriptor, answers, life = (int(text) for text in arguments[:3])
    settings = json.loads(arguments[3])
    network_left = cage_limits.leave_network()
    cage_limits.die_with(life, settings["parent"], main_thread=settings["main_thread"])
    from pipeline.cage_preload import preload  # noqa: PLC0415 - decoders are loaded before files are shut off
    from pipeline.cage_service import Service  # noqa: PLC0415

    preload()

    gc.freeze()  # what is loaded stays, and need not be searched after each answer
    os.chdir("/")
    in_force = cage_limits.restrict(settings["memory_bytes"], network_left=network_left)
    with socket.socket(fileno=control_descriptor) as control:
        child = Child(control, answers, settings["answer_seconds"])
        child.say({"type": "ready", "in_force": in_force})
        child.serve(Service(settings["limits"]))


class Child:
    """The conversation with the parent."""

    def __init__(self, control: socket.socket, answers: int, answer_seconds: float) -> None:
        self._control = control
        self._answers = answers
        self._cpu_seconds = 2 * answer_seconds + 5
        self._said_at = time.monotonic()
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
                continue  # crossed with the end of the answer it was meant for
            cage_limits.allow_cpu(self._cpu_seconds)
            try:
                self._answer(service.answer(head, payload, descriptor, self.tick))
            finally:
                if descriptor is not None:
                    os.close(descriptor)
                gc.collect()  # decoders hold threads and buffers until their reference cycles are found

    def _answer(self, answer: Iterator[tuple[Mapping[str, Any], memoryview | bytes]]) -> None:
        try:
            for head, payload in answer:
                self.say(head, payload)
                if head["type"] == "frame":  # after the last message the next request may be here already
                    self._stop_if_asked()
        except StoppedError:
            self.say({"type": "end", "warnings": []})

    def say(self, head: Mapping[str, Any], payload: memoryview | bytes = b"") -> None:
        """Write one message; blocks while the parent is behind."""
        write_message(self._answers, head, payload)
        self._said_at = time.monotonic()
        cage_limits.allow_cpu(self._cpu_seconds)

    def tick(self) -> None:
        """Tell the parent now and then that work goes on; raise StoppedError when it wants no more."""
        self._stop_if_asked()
        if time.monotonic() - self._said_at > _TICK_SECONDS:
            self.say({"type": "tick"})

    def _stop_if_asked(self) -> None:
        if self._poll.poll(0):
            raise StoppedError


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BrokenPipeError:
        os._exit(0)  # the parent is gone; nobody is left to tell
