"""What the cage's child can be asked: probe, index, frames. Every answer is a stream of messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import av.logging
import numpy as np
from av.codec.hwaccel import HWAccel
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from pipeline.acceleration import Acceleration, Pictures, Request
from pipeline.adaptive import Cells, Rule, pick_threshold
from pipeline.cage_gate import SKIPPED_IN_MESSAGE, Sieve
from pipeline.cage_input import Given, parted
from pipeline.cage_warnings import UNTIMED, damage_met, missing_frames, scan_damage
from pipeline.cage_wire import NO_MEMORY, StoppedError, Tick
from pipeline.container import OpenVideo, open_video
from pipeline.decode import Damage, Feed, fresh_starts, packets_to_feed
from pipeline.errors import MediaError, PipelineError
from pipeline.index import PacketScan, check_duration, packet_index, scan_packets
from pipeline.index_file import KnownPackets, pack, unpack
from pipeline.leap import find_units
from pipeline.libav_log import LibavLog
from pipeline.luma import LumaReader, cells_of_rgb
from pipeline.media import MediaLimits, PacketIndex, shrunk
from pipeline.opening import Input, opened_near
from pipeline.picture import Turns, upright
from pipeline.probe import probe_file
from pipeline.ranged_file import Ask, RangedFile
from pipeline.sniff import Sniffed
from pipeline.stills import image_pictures, index_image

#: a head and its payload: bytes, or a frame's picture, uint8, (h, w, 3), perhaps a view that the next one makes invalid
Message = tuple[Mapping[str, Any], bytes | NDArray[np.uint8]]
_STANDARD_ERROR = 2
_CHECK_IT_PLAYS = "Check that the video plays, and upload it again."


@dataclass(frozen=True, slots=True)
class _Indexed:
    """What the last index pass found, kept for the frames of the same input."""

    input: tuple[int | bytes, ...]
    packets: KnownPackets
    index: PacketIndex

    @property
    def scan(self) -> PacketScan:
        return self.packets.scan

    @property
    def warnings(self) -> Sequence[Mapping[str, str]]:
        return self.packets.warnings if self.index.timed else [*self.packets.warnings, UNTIMED]


class _UnknownPlace(IndexError):
    """The caller asked for a frame beyond the last; no decoder's IndexError is meant."""


class Service:
    """Answers requests on open descriptors, one at a time."""

    def __init__(self, limits: Mapping[str, Any], acceleration: Acceleration | None = None) -> None:
        self._limits = MediaLimits(**limits)
        self._acceleration = acceleration or Acceleration(None)
        self._log = LibavLog(_STANDARD_ERROR)
        self._indexed: _Indexed | None = None
        av.logging.restore_default_callback()
        av.logging.set_libav_level(av.logging.ERROR)

    def answer(
        self,
        head: Mapping[str, Any],
        payload: bytearray,
        descriptor: int | None,
        tick: Tick,
        ask: Ask | None = None,
    ) -> Iterator[Message]:
        """Yield the messages of one answer; the last is a result, an end or an error.

        ask: has bytes put on the disk, where only parts of the input are there; then the last ``head["known"]`` bytes
        of the payload tell of its packets.
        """
        try:
            if descriptor is None:
                raise OSError("a request without an input")
            places, known = parted(payload, head.get("known", 0))
            given = Given(descriptor, RangedFile(descriptor, ask) if known and ask else None, known)
            if head["op"] == "probe":
                yield self._probe(descriptor)
            elif head["op"] == "index":
                yield self._index(given, tick)
            elif head["op"] == "packets":
                yield self._packets(given, tick)
            elif head["op"] == "threshold":
                yield self._threshold(given, places, head, tick)
            else:
                yield from self._frames(given, places, head, tick)
        except StoppedError:
            raise
        except MemoryError:
            self._indexed = None
            yield NO_MEMORY, b""
        except PipelineError as error:
            yield _error(type(error).__name__, error.code, error.message, error.advice)
        except _UnknownPlace as error:
            yield _error("IndexError", "frames.unknown", str(error))
        except Exception as error:  # noqa: BLE001 - whatever a decoder raises must not end the conversation
            yield _error("CageError", "cage.crashed", f"The decoder failed with {type(error).__name__}.")

    def _probe(self, descriptor: int) -> Message:
        info, _ = probe_file(descriptor, self._limits, self._log)
        return {"type": "result", "info": info.as_json(), "warnings": list(info.warnings)}, b""

    def _index(self, given: Given, tick: Tick) -> Message:
        found = given.sniff()
        if found.kind == "image":
            index, warnings = index_image(given.descriptor, found, self._limits), list[Mapping[str, str]]()
        else:
            indexed = self._index_of(given, found, tick)
            index, warnings = indexed.index, list(indexed.warnings)
        base = index.time_base
        return {
            "type": "result", "count": len(index), "timed": index.timed,
            "time_base": [base.numerator, base.denominator], "warnings": warnings,
        }, index.pts.tobytes() + index.key.tobytes()  # fmt: skip

    def _packets(self, given: Given, tick: Tick) -> Message:
        """Pack the index of a video; nothing for images."""
        found = given.sniff()
        packed = b"" if found.kind == "image" else pack(self._index_of(given, found, tick).packets)
        return {"type": "result"}, packed

    def _index_of(self, given: Given, found: Sniffed, tick: Tick) -> _Indexed:
        """Return the index of a video, from memory if it was the last one asked for, or as it is known."""
        if self._indexed is None or self._indexed.input != given.identity:
            self._indexed = None
            packets = unpack(given.known, self._limits) if given.known else self._scan(given, found, tick)
            index = packet_index(packets.scan, packets.time_base, packets.rate)
            check_duration(index, self._limits)
            if not len(index):
                raise _nothing_to_see()
            self._indexed = _Indexed(given.identity, packets, index)
        return self._indexed

    def _scan(self, given: Given, found: Sniffed, tick: Tick) -> KnownPackets:
        with open_video(given.source, found, self._limits, self._log) as video:
            scan = scan_packets(video, self._limits, tick)
            scan.units.extend(find_units(given.descriptor, video).tolist())
            return KnownPackets(scan, video.time_base, video.rate, tuple(scan_damage(video, scan)))

    def _frames(
        self, given: Given, wanted: NDArray[np.int64], head: Mapping[str, Any], tick: Tick
    ) -> Iterator[Message]:
        found = given.sniff()
        frames = self._image_frames if found.kind == "image" else self._video_frames
        yield from frames(given, found, wanted, head, tick)

    def _threshold(self, given: Given, wanted: NDArray[np.int64], head: Mapping[str, Any], tick: Tick) -> Message:
        """Look at the wanted frames as the adaptive rule would, and pick its threshold."""
        found, looks = given.sniff(), list[tuple[int, Cells]]()
        if found.kind == "image":
            index = index_image(given.descriptor, found, self._limits)
            for place, picture, _ in image_pictures(given.descriptor, found, self._limits, wanted, None, tick=tick):
                looks.append((place, cells_of_rgb(picture)))
        else:
            indexed, reader = self._index_of(given, found, tick), LumaReader()
            _check_places(wanted, len(indexed.index))
            index = indexed.index
            with self._decoding(given, found, indexed, wanted, Damage(), tick=tick) as (_, frames):
                for place, frame in frames:
                    looks.append((place, reader.cells(frame)))
        threshold, kept = pick_threshold(looks, Rule.of(head["gate"]), index, head["keep"])
        return {"type": "result", "threshold": threshold, "kept": kept}, b""

    def _image_frames(
        self, given: Given, found: Sniffed, wanted: NDArray[np.int64], head: Mapping[str, Any], tick: Tick
    ) -> Iterator[Message]:
        index = index_image(given.descriptor, found, self._limits)
        _check_places(wanted, len(index))
        had, sieve = 0, Sieve(head["gate"], index)
        for place, picture, scale in image_pictures(
            given.descriptor, found, self._limits, wanted, head["width"], tick=tick
        ):
            had += 1
            kept = sieve.keeps(place, partial(cells_of_rgb, picture))
            yield from sieve.told(1 if kept else SKIPPED_IN_MESSAGE)
            if kept:
                yield _frame(place, index, picture, scale)
        yield from sieve.told()
        missing = len(wanted) - had
        yield {"type": "end", "warnings": [missing_frames(missing, len(wanted))] if missing else []}, b""

    def _video_frames(
        self, given: Given, found: Sniffed, wanted: NDArray[np.int64], head: Mapping[str, Any], tick: Tick
    ) -> Iterator[Message]:
        indexed = self._index_of(given, found, tick)
        _check_places(wanted, len(indexed.index))
        damage, had = Damage(), 0
        with self._decoding(given, found, indexed, wanted, damage, tick=tick) as (video, frames):
            context = video.stream.codec_context
            reformatter, turns = VideoReformatter(), Turns()
            source, decoder = (context.width, context.height), context.codec.name
            sieve, luma = Sieve(head["gate"], indexed.index), LumaReader()
            for place, frame in frames:
                had += 1
                kept = sieve.keeps(place, partial(luma.cells, frame))
                yield from sieve.told(1 if kept else SKIPPED_IN_MESSAGE)
                if not kept:
                    continue
                turn, source = turns.of(frame), source if all(source) else (frame.width, frame.height)
                full = source[::-1] if turn.swap else source
                size = shrunk(*full, head["width"])
                yield _frame(place, indexed.index, upright(frame, reformatter, size, turn), size[0] / full[0])
            yield from sieve.told()
            complaints = self._log.errors(decoder, began_amid=damage.began_amid)
        if len(wanted) and not had:
            raise MediaError("Not one of the wanted frames could be decoded.", advice=_CHECK_IT_PLAYS)
        warnings = [*indexed.warnings, *damage_met(damage, complaints, len(wanted))]
        yield {"type": "end", "warnings": warnings, "decoder": self._acceleration.verdict.as_json()}, b""

    def _decoding(
        self, given: Given, found: Sniffed, indexed: _Indexed, wanted: NDArray[np.int64], damage: Damage, *, tick: Tick
    ) -> AbstractContextManager[tuple[OpenVideo, Pictures]]:
        """Open a video and decode the wanted places of its index, on whatever is best at it."""
        request = Request(partial(self._opened, given, found, indexed), indexed.index, wanted, tick)
        return self._acceleration.decoding(request, damage)

    @contextmanager
    def _opened(
        self, given: Given, found: Sniffed, indexed: _Indexed, wanted: NDArray[np.int64], accel: HWAccel | None
    ) -> Iterator[tuple[OpenVideo, Feed]]:
        """Open a video for the wanted places of its index, with what the decoder is to be given for them."""
        scan = indexed.scan
        flags = packets_to_feed(scan, indexed.index, wanted)
        origin = Input(given.source, found, self._limits, self._log, accel)
        with opened_near(origin, scan, int(flags.argmax())) as (video, start, packets):
            yield video, Feed(flags, fresh_starts(scan, flags), start, packets, scan)


def _frame(place: int, index: PacketIndex, picture: NDArray[np.uint8], scale: float) -> Message:
    height, width, _ = picture.shape
    pts = int(index.pts[place])
    head = {
        "type": "frame", "place": place, "pts": pts, "seconds": float(pts * index.time_base), "scale": scale,
        "height": height, "width": width,
    }  # fmt: skip
    return head, picture


def _error(kind: str, code: str, message: str, advice: str | None = None) -> Message:
    return {"type": "error", "kind": kind, "code": code, "message": message, "advice": advice}, b""


def _check_places(wanted: NDArray[np.int64], count: int) -> None:
    if len(wanted) and int(wanted[-1]) >= count:
        raise _UnknownPlace(f"place {int(wanted[-1])} of an input of {count} frames")


def _nothing_to_see() -> MediaError:
    return MediaError(
        "The video stream holds no frame that could be shown.",
        advice=_CHECK_IT_PLAYS,
    )
