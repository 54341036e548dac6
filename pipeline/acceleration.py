"""Decodes on a device where that pays: tried first against the CPU, on the same pictures; the CPU takes over any fault.

Runs in the cage's child. The device is a matter of speed alone: whatever becomes of it, the same pictures come.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

import av.error
import numpy as np
from av.codec.hwaccel import HWAccel
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from pipeline.cage_wire import Tick, no_tick
from pipeline.container import OpenVideo
from pipeline.decode import Damage, Feed, decode_places
from pipeline.decoder import IN_SOFTWARE, Decoder, DeviceDecoder, DeviceFault
from pipeline.decoder_choice import CPU, Trial, Verdict, choose
from pipeline.errors import PipelineError
from pipeline.media import PacketIndex

Places: TypeAlias = "NDArray[np.int64]"
Pictures: TypeAlias = "Iterator[tuple[int, VideoFrame]]"
Rule: TypeAlias = "Callable[[str, Trial, Trial | None], Verdict]"
_Kind: TypeAlias = "tuple[str, str | None, int, int]"
#: opens a video for wanted places, on the device or (None) in software
Opener: TypeAlias = "Callable[[Places, HWAccel | None], AbstractContextManager[tuple[OpenVideo, Feed]]]"

#: packets of a trial: a group of pictures as usual encoders make them
_TRIAL_PACKETS = 250
#: requests of fewer packets are over before a device is ready: making its decoder takes as long as tens of pictures
_FEWEST_PACKETS = 120
#: wanted pictures may lie so far apart that the first alone takes this many; then nothing is tried
_MOST_PACKETS = 4 * _TRIAL_PACKETS


class Device(Protocol):
    """Something beside the CPU that decodes."""

    #: as ``Verdict.on`` tells it
    name: str
    #: with what libav opens a video for it; None: as ever
    accel: HWAccel | None

    def decoder(self, video: OpenVideo) -> Decoder | None:
        """Return what decodes this video's packets there; None where the device cannot."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be decoded: places of an index, and how its video is opened."""

    open: Opener
    index: PacketIndex
    wanted: Places
    tick: Tick = no_tick


class Acceleration:
    """Chooses what decodes, once for each kind of video, and sees each request through to its last picture."""

    def __init__(self, device: Device | None, *, rule: Rule = choose) -> None:
        """Take the device; None: the CPU decodes everything. rule: what a trial means."""
        self._device = device
        self._rule = rule
        self._known: dict[_Kind, Verdict] = {}
        #: of the last request
        self.verdict = Verdict(CPU, "asked")

    @contextmanager
    def decoding(self, request: Request, damage: Damage) -> Iterator[tuple[OpenVideo, Pictures]]:
        """Open a video; yield it with the wanted (place, frame) that could be had, as ``decode_places`` does."""
        kind = None
        if self._device is not None:
            kind, self.verdict = self._judged(self._device, request)
        with ExitStack() as stack:
            if self._device is not None and kind is not None and self.verdict.on != CPU:
                first = _first_digest(request)
                opened = _opened_there(self._device, stack, request)
                if opened is not None:
                    yield opened.video, self._seen_through(kind, opened, first, request, damage)
                    return
                self.verdict = self._known[kind] = Verdict(CPU, "failed")
            video, feed = stack.enter_context(request.open(request.wanted, None))
            yield video, _decoded(video, feed, request, damage)

    def _judged(self, device: Device, request: Request) -> tuple[_Kind | None, Verdict]:
        """Return what kind of video it is, None where no device may have it, and what is to decode this request."""
        with request.open(request.wanted, None) as (video, feed):
            kind, packets = _kind_of(device, video, request.index), int(feed.flags.sum())
        if kind is None:
            return None, Verdict(CPU, "unsuited")
        if packets < _FEWEST_PACKETS:
            return kind, Verdict(CPU, "few")
        if kind not in self._known:
            first = request.wanted[: max(1, len(request.wanted) * _TRIAL_PACKETS // packets)]
            verdict = self._tried(device, replace(request, wanted=first))
            if verdict.why in ("few", "damaged"):
                return kind, verdict  # that says something of this input only
            self._known[kind] = verdict
        return kind, self._known[kind]

    def _tried(self, device: Device, request: Request) -> Verdict:
        """Decode pictures both ways, and choose."""
        damage = Damage()
        with request.open(request.wanted, None) as (video, feed):
            if int(feed.flags.sum()) > _MOST_PACKETS:
                return Verdict(CPU, "few")
            software = _measured(_decoded(video, feed, request, damage))
        if _harmed(damage):
            return Verdict(CPU, "damaged")
        hardware = None
        with ExitStack() as stack, suppress(DeviceFault):
            opened = _opened_there(device, stack, request)
            hardware = None if opened is None else _measured(_from_device(opened, request))
        return self._rule(device.name, software, hardware)

    def _seen_through(
        self, kind: _Kind, opened: _OpenedThere, first: str, request: Request, damage: Damage
    ) -> Generator[tuple[int, VideoFrame], None, None]:
        """Yield the device's pictures, and from its first fault on the CPU's: each wanted one once, in order.

        first: the digest that the first one must have; a trial tells of the kind of video, this of this one.
        """
        done = 0
        try:
            for place, frame in _from_device(opened, request):
                if not done and _digest(place, frame) != first:
                    raise DeviceFault("its first picture differs")
                yield place, frame
                done += 1
        except DeviceFault:
            self.verdict = Verdict(CPU, "failed")
        else:
            return
        rest = replace(request, wanted=request.wanted[done:])
        with rest.open(rest.wanted, None) as (video, feed):
            yield from _decoded(video, feed, rest, damage)
            broken = _harmed(damage) or bool(video.log.text())  # a doubt is no proof against the device
        self.verdict = Verdict(CPU, "damaged" if broken else "failed")
        if not broken:
            self._known[kind] = self.verdict


@dataclass(frozen=True, slots=True)
class _OpenedThere:
    """A video that is decoded on the device."""

    video: OpenVideo
    feed: Feed
    decoder: DeviceDecoder


def _kind_of(device: Device, video: OpenVideo, index: PacketIndex) -> _Kind | None:
    """Return what a verdict is good for: a codec with its profile and range, and sizes within a factor of 1.4.

    None where only the CPU comes into question: pictures that are no 8-bit 4:2:0, and frames known by counting alone.
    """
    context = video.stream.codec_context
    if not index.timed or context.pix_fmt != IN_SOFTWARE or device.decoder(video) is None:
        return None
    pixels = max(1, context.width * context.height)
    return context.codec.name, context.profile, context.color_range, round(2 * math.log2(pixels))


def _harmed(damage: Damage) -> bool:
    return bool(damage.packets or damage.pictures or damage.missing)


def _opened_there(device: Device, stack: ExitStack, request: Request) -> _OpenedThere | None:
    """Open a video on the device; None where it will not."""
    try:
        video, feed = stack.enter_context(request.open(request.wanted, device.accel))
        context = device.decoder(video)
    except (PipelineError, av.error.FFmpegError, RuntimeError):
        return None
    if context is None:
        return None
    decoder = DeviceDecoder(context, video.log)
    return _OpenedThere(replace(video, on_device=decoder), feed, decoder)


def _decoded(video: OpenVideo, feed: Feed, request: Request, damage: Damage) -> Pictures:
    return decode_places(video, request.index, feed, request.wanted, damage, tick=request.tick)


def _from_device(opened: _OpenedThere, request: Request) -> Generator[tuple[int, VideoFrame], None, None]:
    """Yield every wanted picture, or raise DeviceFault where the next one should have come."""
    done = 0
    for place, frame in _decoded(opened.video, opened.feed, request, Damage()):
        if place != request.wanted[done]:
            raise DeviceFault("it left a picture out")
        yield place, opened.decoder.fetched(frame)
        done += 1
    if done < len(request.wanted):
        raise DeviceFault("it ended early")


def _first_digest(request: Request) -> str:
    """Return what the first wanted picture is on the CPU; empty where it cannot be had."""
    first = replace(request, wanted=request.wanted[:1])
    with request.open(request.wanted, None) as (video, feed):
        picture = next(_decoded(video, feed, first, Damage()), None)
        return "" if picture is None else _digest(*picture)


def _measured(pictures: Pictures) -> Trial:
    """Take all pictures; the digests are not part of what they cost."""
    digests, cpu_seconds, wall_seconds = list[str](), 0.0, 0.0
    while True:
        cpu, wall = time.process_time(), time.perf_counter()
        picture = next(pictures, None)
        cpu_seconds += time.process_time() - cpu
        wall_seconds += time.perf_counter() - wall
        if picture is None:
            return Trial(tuple(digests), cpu_seconds, wall_seconds)
        digests.append(_digest(*picture))


def _digest(place: int, frame: VideoFrame) -> str:
    """Return what tells two pictures apart: every sample, and all that is used of what stands beside them."""
    beside = (place, frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range, frame.rotation)
    digest = hashlib.blake2b(repr(beside).encode(), digest_size=16)
    for plane in frame.planes:
        rows = np.asarray(memoryview(plane), np.uint8)[: plane.line_size * plane.height]
        digest.update(rows.reshape(plane.height, plane.line_size)[:, : plane.width].tobytes())
    return digest.hexdigest()
