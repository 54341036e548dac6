"""Jumps over the part of a file in which nothing is wanted, and proves where it landed.

Seeking is the step at which players go wrong. Here the first packet read afterwards must be one that the index
pass saw exactly once, at or before the wanted place; else the file is read from its start.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TypeAlias

import av.error
import numpy as np
from av.packet import Packet
from av.video.stream import VideoStream

from pipeline.container import OpenVideo
from pipeline.index import NO_TIME, PacketScan

#: reading on is as quick as seeking up to here
_WORTHWHILE_PACKETS = 500
#: where packets lie whole and marked; streams of bytes (MPEG-TS, raw) are parsed into packets only while reading
_SEEKABLE = frozenset({"mov", "mp4", "matroska", "webm"})

Packets: TypeAlias = "Iterator[Packet[VideoStream]]"


def packets_near(video: OpenVideo, scan: PacketScan, first: int) -> tuple[int, Packets] | None:
    """Return the packets from a keyframe at or before position ``first``, and their first one's position.

    Positions count non-empty packets in decoding order, as in ``scan``. None: the landing place is not known, and the
    container must be opened again. Raises: av.error.FFmpegError while the packets are read.
    """
    if first < _WORTHWHILE_PACKETS or not is_seekable(video, scan):
        return 0, _packets(video)
    return landed_near(video, scan, first)


def landed_near(video: OpenVideo, scan: PacketScan, first: int) -> tuple[int, Packets] | None:
    """Jump; as ``packets_near``, and always by a jump. The stream's decoder forgets what it holds.

    By the time of its picture a keyframe is found itself; by its decoding time, often the one before.
    """
    try:
        time = scan.dts[first] if scan.pts[first] == NO_TIME else scan.pts[first]
        video.container.seek(time, stream=video.stream, backward=True, any_frame=False)
        packets = _packets(video)
        landed = next(packets, None)
    except (av.error.FFmpegError, EOFError):
        return None
    position = _position(scan, landed) if landed is not None else None
    if landed is None or position is None or position > first:
        return None
    return position, chain((landed,), packets)


def packets_from_start(video: OpenVideo) -> tuple[int, Packets]:
    """Return all packets of a freshly opened container."""
    return 0, _packets(video)


def _packets(video: OpenVideo) -> Packets:
    return (packet for packet in video.packets() if packet.size)


def is_seekable(video: OpenVideo, scan: PacketScan) -> bool:
    """Say whether times name places in this container."""
    return not scan.counted and not _SEEKABLE.isdisjoint(video.container.format.name.split(","))


def _position(scan: PacketScan, packet: Packet[VideoStream]) -> int | None:
    """Return where the index pass saw this keyframe; None unless exactly one packet has its timestamp.

    Decoding times do not tell: where a container has none, libav makes them up from what it has read so far.
    """
    if packet.pts is None or not packet.is_keyframe:
        return None
    places = np.flatnonzero(np.frombuffer(scan.pts, np.int64) == packet.pts)
    return int(places[0]) if len(places) == 1 and scan.key[places[0]] else None
