"""One run of the cage's child: starting it, hearing from it within a bound, and ending it."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.cage_ring import Ring, Tokens, stays
from pipeline.cage_wire import NO_MEMORY, GoneError, Reader, SilenceError, Tick, no_tick, send_request
from pipeline.decoder_choice import CPU
from pipeline.errors import CageError, CageUnavailable
from pipeline.media import MediaLimits

#: importing decoders on a busy machine
_START_SECONDS = 60.0
#: how long an unwanted answer may take to stop before the child is ended instead
_STOP_SECONDS = 5.0
#: types of the message that closes an answer
_LAST = ("end", "error", "result")
#: reasons for ending a child that are none of its own
ON_DEMAND, _CLOSED = "killed on demand", "closed"
_DRIVER_VARIABLES = ("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES")
_ROOT = Path(__file__).resolve().parent.parent
#: one thread in numpy's linear algebra and few malloc arenas: each would reserve address space
_ENVIRONMENT = {"LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


class CageProcess:
    """A child, its pipes, and what it said about its protections. All pipes are closed by ``close``."""

    def __init__(
        self, limits: MediaLimits, *, memory_bytes: int, answer_seconds: float, request_seconds: float,
        device: str = CPU,
    ) -> None:  # fmt: skip
        self._answer_seconds = answer_seconds
        self._request_seconds = request_seconds
        self._waited_seconds = 0.0
        self._max_slot_bytes = limits.max_pixels * 3
        self._ring: Ring | None = None
        self._answering = False
        self._fill: Callable[[int, int], None] | None = None
        self._input_bytes = 0
        self._ready: dict[str, bool] | None = None
        self._device_fault = ""
        self._why_ended: str | None = None
        self._errors = os.memfd_create("cage-errors", os.MFD_CLOEXEC)
        self._control, control_end = socket.socketpair()
        self._answers, answers_end = os.pipe()
        tokens_end, tokens = os.pipe()
        self._tokens = Tokens(tokens)
        life_end, self._life = os.pipe()
        self._control.settimeout(answer_seconds)
        ends = (control_end.fileno(), answers_end, tokens_end, life_end)
        settings = {
            "parent": os.getpid(), "main_thread": threading.current_thread() is threading.main_thread(),
            "memory_bytes": memory_bytes, "answer_seconds": answer_seconds, "limits": asdict(limits),
            "device": device,
        }  # fmt: skip
        try:
            self._popen = self._spawn(ends, settings)
        except OSError as error:
            self._close_pipes()
            raise CageUnavailable(f"The decoding process could not be started: {error.strerror}.") from error
        finally:
            control_end.close()
            for end in (answers_end, tokens_end, life_end):
                os.close(end)
        self._reader = Reader(self._answers, limits.max_frames * 9)

    def _spawn(self, ends: tuple[int, ...], settings: Mapping[str, Any]) -> subprocess.Popen[bytes]:
        """Start the child with its three pipe ends, a bare environment, and nothing else of ours."""
        return subprocess.Popen(
            [sys.executable, "-E", "-s", "-m", "pipeline.cage_child", *map(str, ends), json.dumps(settings)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._errors, pass_fds=ends,
            cwd=_ROOT, env=_ENVIRONMENT | (_drivers_own() if settings["device"] != CPU else {}), start_new_session=True,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs and is meant to."""
        return self._why_ended is None and self._popen.poll() is None

    @property
    def in_force(self) -> dict[str, bool]:
        """What it said about its protections; waits for its start. Raises: CageUnavailable."""
        if self._ready is None:
            try:
                head, _ = self._read(_START_SECONDS)
            except CageError as error:
                raise CageUnavailable(f"The decoding process did not start. {error.message}") from error
            self._ready = {str(name): bool(value) for name, value in head["in_force"].items()}
            self._device_fault = _harmless(str(head.get("device_fault") or ""))
        return self._ready

    @property
    def device_fault(self) -> str:
        """Why the device could not be opened; empty where it was, or none was asked for. Raises: CageUnavailable."""
        _ = self.in_force
        return self._device_fault

    @property
    def broke(self) -> bool:
        """Whether it ended though nobody wanted it to."""
        return not self.alive and self._why_ended not in (ON_DEMAND, _CLOSED)

    def request(
        self, head: Mapping[str, Any], payload: bytes, descriptor: int, fill: Callable[[int, int], None] | None = None
    ) -> None:
        """Send a request with an open input; ``fill``: puts bytes of it on the disk.

        Raises: CageError, CageUnavailable.
        """
        _ = self.in_force
        self._fill = fill
        self._input_bytes = os.fstat(descriptor).st_size
        self._waited_seconds = 0.0
        self._answering = True
        self._send(head, payload, descriptor)

    def answer(self, tick: Tick = no_tick) -> tuple[dict[str, Any], bytearray]:
        """Return the next message of the answer; each sign of life calls ``tick``. Raises: CageError."""
        while True:
            began = time.monotonic()
            head, payload = self._read(self._answer_seconds, began + self._request_seconds - self._waited_seconds)
            self._waited_seconds += time.monotonic() - began
            if head["type"] == "room":
                self._make_room(head)
            elif head["type"] == "need":
                self._have(head)
            elif head["type"] != "tick":
                return head, payload
            else:
                tick()

    def picture(self, height: int, width: int) -> NDArray[np.uint8]:
        """Return the picture whose message came last, and give its slot back. Raises: CageError."""
        if self._ring is None or 3 * height * width > self._ring.slot_bytes:
            raise self.refused(GoneError(f"it announced a picture of {width} x {height} pixels, and gave none"))
        picture = self._ring.take(height, width)
        try:
            self._tokens.give()
        except OSError as error:
            raise self._ended() from error
        return picture

    def stop_answer(self) -> None:
        """Make the child drop the answer it is giving; ends the child if that takes long."""
        try:
            self._send({"op": "stop"}, b"", None)
            until = time.monotonic() + min(_STOP_SECONDS, self._answer_seconds)
            while self._answering:
                self._read(_STOP_SECONDS, until)
            self._drop_ring()
        except CageError:
            self.kill("an unwanted answer did not stop")

    def leave(self) -> None:
        """Be done with an answer: a child that still gives it cannot be asked anything else, and is ended."""
        if self._ring is not None and not stays(self._ring.slot_bytes):
            self._drop_ring()
        if self._answering:
            self.kill("left amid its answer")

    def refused(self, lie: GoneError) -> CageError:
        """End a child that said what no child of ours says, and return the error that tells it."""
        self.kill(str(lie))
        return self._ended()

    def kill(self, why: str) -> None:
        """End the child now; safe from any thread. Who waits for an answer gets a CageError."""
        self._why_ended = self._why_ended or why
        self._popen.kill()

    def close(self) -> None:
        """End the child, reap it, and close every pipe."""
        self.kill(_CLOSED)
        self._popen.wait()
        self._close_pipes()

    def _close_pipes(self) -> None:
        self._drop_ring()
        self._control.close()
        self._tokens.close()
        for descriptor in (self._answers, self._life, self._errors):
            os.close(descriptor)

    def _send(self, head: Mapping[str, Any], payload: bytes, descriptor: int | None) -> None:
        try:
            send_request(self._control, head, payload, descriptor)
        except TimeoutError as error:
            raise self._hung(f"took no request for {self._answer_seconds:g} seconds") from error
        except OSError as error:
            raise self._ended() from error

    def _make_room(self, head: Mapping[str, Any]) -> None:
        """Make the ring that the child asks for, larger than the one it has, and hand it over."""
        wanted, held = head.get("bytes"), self._ring.slot_bytes if self._ring is not None else 0
        if type(wanted) is not int or not held < wanted <= self._max_slot_bytes:
            raise self.refused(GoneError(f"it asked for a slot of {wanted} bytes"))
        self._drop_ring()
        try:
            self._ring = Ring(wanted)
        except OSError as error:
            self.kill("no memory for its frames")
            raise CageUnavailable(f"There is no memory for decoded frames: {error.strerror}.") from error
        self._send({"op": "ring", "bytes": wanted}, b"", self._ring.descriptor)

    def _have(self, head: Mapping[str, Any]) -> None:
        """Put bytes that the child needs on the disk; where they cannot be had, it drops its answer."""
        start, stop = head.get("start"), head.get("stop")
        if self._fill is None or type(start) is not int or type(stop) is not int:
            raise self.refused(GoneError("it asked for bytes that are there"))
        if not 0 <= start < stop <= self._input_bytes:
            raise self.refused(GoneError(f"it asked for bytes {start} to {stop} of {self._input_bytes}"))
        try:
            self._fill(start, stop)
        except BaseException:
            self.stop_answer()
            raise
        self._send({"op": "have"}, b"", None)

    def _drop_ring(self) -> None:
        ring, self._ring = self._ring, None
        if ring is not None:
            ring.close()

    def _read(self, silence_seconds: float, until: float = math.inf) -> tuple[dict[str, Any], bytearray]:
        try:
            head, payload = self._reader.read(silence_seconds, until)
            self._answering = self._answering and head["type"] not in _LAST
            return head, payload
        except SilenceError as error:
            if time.monotonic() >= until:
                raise self._hung("was not done in the time it had") from error
            raise self._hung(f"gave no sign of life for {silence_seconds:g} seconds") from error
        except GoneError as error:
            self._why_ended = self._why_ended or str(error)
            raise self._ended() from error

    def _hung(self, how: str) -> CageError:
        self.kill("hung")
        return CageError(f"The decoder {how} and was ended.", code="cage.hung")

    def _ended(self) -> CageError:
        """Tell why the child is gone."""
        if self._popen.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(1.0)  # its pipe closes a moment before it can be reaped
        if self._popen.poll() is None:
            self.kill("it does not hold to what was agreed")
            self._popen.wait()
        status = self._popen.returncode
        said = self._last_words()
        if status == -signal.SIGXCPU:
            return CageError("The decoder used up its processor time without an answer.", code="cage.hung")
        if "MemoryError" in said or "bad_alloc" in said:
            return CageError(NO_MEMORY["message"], code=NO_MEMORY["code"], advice=NO_MEMORY["advice"])
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        why = f", {self._why_ended}" if self._why_ended else ""
        return CageError(f"The decoder ended with {how}{why}." + (f" Last words: {said}" if said else ""))

    def _last_words(self) -> str:
        """Return the end of what it wrote to standard error, as harmless text: it handled untrusted bytes."""
        size = os.fstat(self._errors).st_size
        lines = os.pread(self._errors, 2048, max(0, size - 2048)).decode("ascii", "replace").strip().splitlines()
        return _harmless(lines[-1] if lines else "")


def _harmless(text: str) -> str:
    return "".join(letter if letter.isprintable() and letter.isascii() else "?" for letter in text)[:200]


def _drivers_own() -> dict[str, str]:
    """Return what a GPU's driver is told by the environment: where it lies, and which devices are this process's."""
    return {name: os.environ[name] for name in _DRIVER_VARIABLES if name in os.environ} | {"CUDA_CACHE_DISABLE": "1"}
