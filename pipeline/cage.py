"""The cage: a child process that opens untrusted media, so that this one never does."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from pipeline.cage_answers import FrameCheck, error_of, media_info, packet_index, skipped, threshold, warnings_of
from pipeline.cage_device import WantedDevice
from pipeline.cage_process import ON_DEMAND, CageProcess
from pipeline.cage_wire import GoneError, Tick, no_tick
from pipeline.decoder_choice import CPU, Verdict, verdict_of
from pipeline.errors import MediaError
from pipeline.frame import Frame, Skipped
from pipeline.media import MediaInfo, MediaLimits, PacketIndex, Parts

Answer = TypeVar("Answer")
#: what a child may have of address space: room for the pictures of an 8K film
MEMORY_BYTES = 1536 * 1024**2
#: as long as a pipeline may run where nobody says otherwise
LONGEST_REQUEST_SECONDS = 3600.0
#: of one input; what a child says beyond that is not kept
_MAX_WARNINGS = 100


class Cage:
    """A warm child (started with subprocess, own session, dies with its parent), limited in memory, CPU and files.

    Use as a context manager; one request at a time; the child is started again after a crash, a kill, or
    ``recycle_after`` inputs. Errors that the child reports are raised here as the same PipelineError.
    """

    def __init__(
        self, limits: MediaLimits | None = None, *, memory_bytes: int = MEMORY_BYTES,
        answer_seconds: float = 30.0, request_seconds: float = LONGEST_REQUEST_SECONDS, recycle_after: int = 1000,
        device: str = CPU,
    ) -> None:  # fmt: skip
        """Set bounds; the child starts with the first request, or with the ``with`` block.

        answer_seconds: the longest silence of the child before it is killed as hung. request_seconds: how long one
        request may keep its caller waiting in all, however lively the child; what the caller does between frames does
        not count. recycle_after: inputs that one child may see. device: cpu, or cuda or cuda:<n>, which then decodes
        where it is there and a trial finds it exact and cheaper (``decoder``); a child that breaks with it is
        followed by one without, until the next is due by ``recycle_after``.
        """
        self._limits = limits or MediaLimits()
        self._memory_bytes = memory_bytes
        self._answer_seconds = answer_seconds
        self._request_seconds = request_seconds
        self._recycle_after = recycle_after
        self._device = WantedDevice(device)
        self._decoder: Verdict | None = None
        self._process: CageProcess | None = None
        self._busy = threading.Lock()
        self._inputs = 0
        self._last_path: Path | None = None
        self._warnings: list[dict[str, str]] = []

    def __enter__(self) -> Cage:
        self._running()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def probe(self, path: Path) -> MediaInfo:
        """Judge the input by content. Raises: MediaError, CageError, CageUnavailable."""
        self._warnings = []
        return self._ask(path, {"op": "probe"}, lambda head, _: media_info(head))

    def index(self, path: Path, tick: Tick = no_tick, *, parts: Parts | None = None) -> PacketIndex:
        """Read the packets without decoding; ``tick`` is called about twice a second, and may raise to stop it.

        parts: where not all of the file is on the disk. Raises: MediaError, CageError, CageUnavailable, and what
        ``tick`` and ``parts.fill`` raise.
        """
        read = lambda head, payload: packet_index(head, payload, self._limits)  # noqa: E731 - one line of two
        return self._ask(path, {"op": "index"}, read, tick, parts=parts)

    def packets(self, path: Path, tick: Tick = no_tick) -> bytes:
        """Return what ``Parts.known`` needs: all that an index pass finds of a video; nothing for an image.

        ``tick`` and errors as in ``index``.
        """
        return self._ask(path, {"op": "packets"}, lambda _, payload: bytes(payload), tick)

    def pick_threshold(
        self, path: Path, wanted: NDArray[np.int64], gate: Mapping[str, float], keep: int, tick: Tick = no_tick
    ) -> tuple[float, int]:
        """Return the lowest threshold of the rule ``gate`` that keeps at most ``keep`` of these frames, and how many.

        Decodes them; ``tick`` as in ``index``. Raises: MediaError, CageError, CageUnavailable, what ``tick`` raises.
        """
        asked = {"op": "threshold", "gate": dict(gate), "keep": keep}
        return self._ask(path, asked, lambda head, _: threshold(head), tick, _rising(wanted).tobytes())

    @overload
    def frames(
        self, path: Path, wanted: NDArray[np.int64], *, width: int | None = ..., report_from: int = ...,
        gate: None = None, parts: Parts | None = ...,
    ) -> Iterator[Frame]: ...  # fmt: skip
    @overload
    def frames(
        self, path: Path, wanted: NDArray[np.int64], *, width: int | None = ..., report_from: int = ...,
        gate: Mapping[str, float] | None, parts: Parts | None = ...,
    ) -> Iterator[Frame | Skipped]: ...  # fmt: skip
    def frames(
        self, path: Path, wanted: NDArray[np.int64], *, width: int | None = None, report_from: int = 0,
        gate: Mapping[str, float] | None = None, parts: Parts | None = None,
    ) -> Iterator[Frame | Skipped]:  # fmt: skip
        """Yield the wanted frames in order.

        wanted: int64, (k,), rising: places in the PacketIndex (presentation order). width: shrink to at most
        this many pixels wide, keeping aspect; never enlarges. Frames at places before ``report_from``
        come with report=False. Damage on the way is told by ``warnings`` afterwards, not raised, as long as
        a frame could be had. Closing the generator early stops the decoding. gate: the numbers of the adaptive rule
        (``Rule.as_json``); frames that it passes over are told as Skipped, and cost no conversion and no hand-over.
        parts: where not all of the file is on the disk.
        Raises: MediaError (nothing could be decoded), CageError, CageUnavailable, and what ``parts.fill`` raises.
        """
        asked = {"op": "frames", "width": width, "gate": None if gate is None else dict(gate)}
        return self._stream(path, _rising(wanted), asked, report_from, parts)

    @property
    def warnings(self) -> tuple[dict[str, str], ...]:
        """Damage met since the last ``probe``: [{"code": "media.damaged", "message": ...}]."""
        return tuple(self._warnings)

    @property
    def in_force(self) -> dict[str, bool]:
        """Which protections the system granted.

        Limits: memory, cpu, file_size, descriptors. Shut: files (none can be opened by name), no_processes,
        no_capabilities, no_new_privileges, no_network.
        """
        return dict(self._running().in_force)

    @property
    def decoder(self) -> Verdict | None:
        """What decoded the last request's frames, and why that; None where it was no video, or came to no end."""
        return self._device.verdict(self._decoder)

    @property
    def device_fault(self) -> str:
        """Why the device that was asked for is not there; empty where it is, or where none was asked for."""
        self._running()
        return self._device.fault

    @property
    def pid(self) -> int | None:
        """The child's process id; None while there is none."""
        return self._process.pid if self._process is not None and self._process.alive else None

    def kill(self) -> None:
        """End the child now; the next request starts a fresh one. Safe from any thread."""
        if self._process is not None:
            self._process.kill(ON_DEMAND)

    def _stream(
        self, path: Path, places: NDArray[np.int64], asked: Mapping[str, Any], report_from: int, parts: Parts | None
    ) -> Iterator[Frame | Skipped]:
        check, self._decoder = FrameCheck(places, asked["width"], self._limits), None
        with self._request(path, asked, places.tobytes(), parts) as process:
            head, _ = self._next(process)
            while head["type"] in ("frame", "skipped"):
                try:
                    if head["type"] == "frame":
                        yield _frame(process, check, head, report_from)
                    else:
                        yield Skipped(skipped(check, head, report_from))
                except GeneratorExit:
                    process.stop_answer()
                    raise
                head, _ = self._next(process)

    def _ask(
        self, path: Path, asked: Mapping[str, Any], read: Callable[[Mapping[str, Any], bytearray], Answer],
        tick: Tick = no_tick, payload: bytes = b"", *, parts: Parts | None = None,
    ) -> Answer:  # fmt: skip
        with self._request(path, asked, payload, parts) as process:
            return read(*self._next(process, lambda: _ticked(process, tick)))

    @contextmanager
    def _request(
        self, path: Path, head: Mapping[str, Any], payload: bytes, parts: Parts | None
    ) -> Iterator[CageProcess]:
        """Send a request about a file and keep the child for its answer alone."""
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("the cage is still answering another request; close it first")
        try:
            with _opened(path) as descriptor:
                self._count_input(path)
                process = self._running()
                if parts is None:
                    process.request(head, payload, descriptor)
                else:
                    process.request({**head, "known": len(parts.known)}, payload + parts.known, descriptor, parts.fill)
            try:
                yield process
            except GoneError as lie:
                raise process.refused(lie) from lie
            finally:
                process.leave()
        finally:
            self._busy.release()

    def _next(self, process: CageProcess, tick: Tick = no_tick) -> tuple[dict[str, Any], bytearray]:
        """Return the next message; raises what it reports. Notes warnings."""
        head, payload = process.answer(tick)
        if head["type"] == "error":
            if head.get("code") == "cage.memory":
                process.kill("out of memory")  # its heap may be in any state
            raise error_of(head)
        if "decoder" in head:
            self._decoder = verdict_of(head["decoder"])
        for warning in warnings_of(head):
            if warning not in self._warnings and len(self._warnings) < _MAX_WARNINGS:
                self._warnings.append(warning)
        return head, payload

    def _count_input(self, path: Path) -> None:
        """Start afresh after many inputs: libraries leak, and an attacker must not stay."""
        if path == self._last_path:
            return
        self._last_path = path
        self._inputs += 1
        if self._inputs > self._recycle_after:
            self._end()
            self._inputs = 1
            self._device.again()

    def _running(self) -> CageProcess:
        if self._process is not None and not self._process.alive:
            if self._process.broke:
                self._device.broke()
            self._end()
        if self._process is None:
            self._process = self._device.started(self._started)
        return self._process

    def _started(self, device: str) -> CageProcess:
        return CageProcess(
            self._limits, memory_bytes=self._memory_bytes, answer_seconds=self._answer_seconds,
            request_seconds=self._request_seconds, device=device,
        )  # fmt: skip

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.close()


def _rising(wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    places = np.ascontiguousarray(wanted, np.int64)
    if places.ndim != 1 or np.any(places[1:] <= places[:-1]) or (len(places) and places[0] < 0):
        raise ValueError("wanted places must be one rising row, from 0")
    return places


def _ticked(process: CageProcess, tick: Tick) -> None:
    """Pass a sign of life on; where whoever hears it wants no more, the child drops its answer."""
    try:
        tick()
    except BaseException:
        process.stop_answer()
        raise


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open an input for reading; only regular files. Raises: OSError, MediaError (media.unsupported)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise MediaError("The input is not a file.", code="media.unsupported")
        yield descriptor
    finally:
        os.close(descriptor)


def _frame(process: CageProcess, check: FrameCheck, head: Mapping[str, Any], report_from: int) -> Frame:
    place, size = check.place(head), check.size(head)
    pts, seconds, scale = check.times(head)
    return Frame(
        image=process.picture(*size), index=place, pts=pts, pts_seconds=seconds, scale=scale,
        report=place >= report_from,
    )  # fmt: skip
