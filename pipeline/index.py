"""Which frames a video will show, known from its packets alone, without decoding.

A decoder does not show everything it is fed: packets that an edit list cuts away, packets before the first
keyframe, leading pictures of that keyframe and pictures marked invisible are left out here as they are there.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from fractions import Fraction

import av.error
import numpy as np
from av.packet import Packet
from av.video.stream import VideoStream

from pipeline.cage_wire import Tick, no_tick
from pipeline.container import OpenVideo
from pipeline.errors import MediaError
from pipeline.media import MediaLimits, PacketIndex
from pipeline.units import is_hidden, is_packed, is_reset, nal_length, temporal_layer

#: stands for an absent timestamp
NO_TIME = int(np.iinfo(np.int64).min)


@dataclass(slots=True)
class PacketScan:
    """The packets of the chosen stream in decoding order, one entry each; empty packets are not counted.

    pts, dts: int64, the smallest int64 where absent. key, shown: 0 or 1. reset: whether decoding may start here and
    nothing shown later misses what came before. pos: the byte of the file at which libav says that a packet begins, -1
    where it does not; of packets that begin in one piece of a stream it tells the first. size: bytes. units: the bytes
    at which what holds several packets begins (fragments, clusters), rising; empty where packets stand alone.
    """

    pts: array[int] = field(default_factory=lambda: array("q"))
    dts: array[int] = field(default_factory=lambda: array("q"))
    key: bytearray = field(default_factory=bytearray)
    shown: bytearray = field(default_factory=bytearray)
    reset: bytearray = field(default_factory=bytearray)
    pos: array[int] = field(default_factory=lambda: array("q"))
    size: array[int] = field(default_factory=lambda: array("i"))
    units: array[int] = field(default_factory=lambda: array("q"))
    #: True where reading ended with an error instead of the end
    broken: bool = False
    #: HEVC: the highest TemporalId
    top_layer: int = 0
    #: True where timestamps cannot order the frames: guessed, not those of single pictures, or no packet is a keyframe
    counted: bool = False

    def __len__(self) -> int:
        return len(self.pts)


def scan_packets(video: OpenVideo, limits: MediaLimits, tick: Tick = no_tick) -> PacketScan:
    """Read every packet of the video stream once, in memory that grows by 31 bytes a packet.

    Raises: MediaError (media.too_long).
    """
    scan, marks_keys = PacketScan(counted=video.guessed_times), video.marks_keys
    codec = video.stream.codec_context.codec.canonical_name
    nal_bytes = nal_length(codec, video.stream.codec_context.extradata)
    first_key: int | None = None
    try:
        for packet in video.packets():
            tick()
            if not packet.size:
                continue
            if len(scan) >= limits.max_frames:
                raise too_many(limits)
            if packet.is_keyframe and first_key is None:
                first_key = NO_TIME if packet.pts is None else packet.pts
            elif not marks_keys:
                packet.is_keyframe = False
            _append(scan, packet, first_key, codec, nal_bytes)
    except MemoryError:
        raise
    except (av.error.FFmpegError, EOFError):
        scan.broken = True
    if scan.reset:
        scan.reset[-1] = 0  # it may be cut, and what it lacks is made up from pictures before
    if first_key is None:
        scan.shown, scan.counted = bytearray(b"\1" * len(scan)), True
    return scan


def packet_index(scan: PacketScan, time_base: Fraction, rate: Fraction) -> PacketIndex:
    """Order the shown packets as a player would.

    Without usable timestamps (absent, double, or running backwards) frames are counted instead and
    ``time_base`` becomes the length of one frame.
    """
    shown = np.frombuffer(scan.shown, np.bool_)
    pts = np.frombuffer(scan.pts, np.int64)[shown]
    key = np.frombuffer(scan.key, np.bool_)[shown]
    order = np.argsort(pts, kind="stable")
    ordered = pts[order]
    usable = bool(np.all(ordered[1:] > ordered[:-1])) and (not len(ordered) or ordered[0] != NO_TIME)
    if usable and not scan.counted and not _runs_backwards(scan):
        return PacketIndex(ordered.copy(), key[order], time_base)
    return PacketIndex(np.arange(len(pts), dtype=np.int64), key.copy(), 1 / rate, timed=False)


def check_duration(index: PacketIndex, limits: MediaLimits) -> None:
    """Refuse what lasts longer than allowed. Raises: MediaError (media.too_long)."""
    if len(index) and float(index.pts[-1] - index.pts[0]) * float(index.time_base) > limits.max_duration_seconds:
        raise too_long(limits)


def too_long(limits: MediaLimits) -> MediaError:
    """Return the error for a video above the duration limit."""
    return MediaError(
        f"The video is longer than the {limits.max_duration_seconds / 3600:g} hours allowed.", code="media.too_long",
        advice="Cut it into shorter parts.",
    )  # fmt: skip


def too_many(limits: MediaLimits) -> MediaError:
    """Return the error for a video of more frames than allowed."""
    return MediaError(
        f"The video has more than {limits.max_frames:,} frames.", code="media.too_long",
        advice="Cut it into shorter parts.",
    )  # fmt: skip


def _append(scan: PacketScan, packet: Packet[VideoStream], first_key: int | None, codec: str, nal_bytes: int) -> None:
    pts = NO_TIME if packet.pts is None else packet.pts
    visible = not packet.is_discard and first_key is not None and (pts == NO_TIME or pts >= first_key)
    scan.pts.append(pts)
    scan.dts.append(NO_TIME if packet.dts is None else packet.dts)
    scan.pos.append(-1 if packet.pos is None else packet.pos)
    scan.size.append(packet.size)
    scan.key.append(packet.is_keyframe)
    scan.shown.append(visible and not is_hidden(packet, codec))
    scan.reset.append(packet.is_keyframe and not packet.is_corrupt and is_reset(packet, codec, nal_bytes))
    scan.counted = scan.counted or is_packed(packet, codec)
    if codec == "hevc":
        scan.top_layer = max(scan.top_layer, temporal_layer(packet, nal_bytes))


def _runs_backwards(scan: PacketScan) -> bool:
    """Say whether decoding times fall: joined recordings whose clocks start again. What an edit list hides may."""
    dts = np.frombuffer(scan.dts, np.int64)[np.frombuffer(scan.shown, np.bool_)]
    dts = dts[dts != NO_TIME]
    return bool(np.any(dts[1:] < dts[:-1]))
