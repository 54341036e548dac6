"""Reads a container's head and then a place far behind it, as if what lies between were not in the file.

Most containers are a head and then a row of pieces that each stand for themselves: packets of a stream, clusters,
fragments. A demuxer that has read the head may go on at any later piece, and needs no index of its own to find it.
Whether it did is not believed: each packet must begin where the index pass saw it begin, and be as long. What does
depend on what was left out are the times that demuxers count or guess; packets get those that the index pass saw.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import av.error
import numpy as np
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from pipeline.container import OpenVideo
from pipeline.index import NO_TIME, PacketScan
from pipeline.ranged_file import RangedFile
from pipeline.seek import Packets
from pipeline.sniff import Sniffed
from pipeline.truncation import iso_boxes

#: less than this is as quickly read as left out
WORTHWHILE_BYTES = 4 << 20
#: from where a piece begins to where libav says that its packet begins
_HEADS = {"mpegts": 0, "mpeg": 0, "asf": 0, "flv": 0, "mjpeg": 0, "avi": 8}
#: whose packets stand in larger pieces
_IN_UNITS = frozenset({"mov", "matroska"})
#: what the table at the head of a Matroska file says of one that tells where its clusters are: an entry for Cues
_SEEK_TO_CUES = b"\x53\xab\x84\x1c\x53\xbb\x6b"
_MATROSKA_HEAD_BYTES = 4096


def find_units(descriptor: int, video: OpenVideo) -> NDArray[np.int64]:
    """Return where the fragments of an MP4 begin, or the clusters of a Matroska file that does not tell it itself.

    int64, rising; of clusters, those that hold a keyframe. Empty for what libav finds its way in without them. The
    container was read to its end.
    """
    names = video.container.format.name.split(",")
    if "mov" in names:
        places = [start for kind, start, _ in iso_boxes(descriptor, os.fstat(descriptor).st_size) if kind == b"moof"]
    elif "matroska" in names and _SEEK_TO_CUES not in os.pread(descriptor, _MATROSKA_HEAD_BYTES, 0):
        places = [entry.pos for entry in video.stream.index_entries]
    else:
        places = []
    return np.unique(np.array(places, np.int64))


@dataclass(frozen=True, slots=True)
class Leap:
    """A way to begin with packet ``first``, a position in decoding order: to go on at ``stop``, a byte of the file.

    lead: the first packet at the place of ``first``, by which one knows where one is. begins: int64, rising, the bytes
    at which one may leave the head. overlaid: the file keeps its places, and what is left out is told to be empty; else
    it is as if cut out.
    """

    first: int
    lead: int
    stop: int
    begins: NDArray[np.int64]
    overlaid: bool

    def take(self, file: RangedFile) -> int | None:
        """Leave out what lies between the bytes already read and ``stop``; return how far what follows moves up.

        None: too little lies between, and the file is as it was.
        """
        place = int(np.searchsorted(self.begins, file.tell()))
        if place == len(self.begins) or self.begins[place] >= self.stop:
            return None
        start = int(self.begins[place])
        if not self.overlaid:
            file.leave_out(start, self.stop)
            return self.stop - start
        file.lay_over(start, (1).to_bytes(4, "big") + b"free" + (self.stop - start).to_bytes(8, "big"))
        return 0


def find_leap(scan: PacketScan, found: Sniffed, first: int, worthwhile_bytes: int = WORTHWHILE_BYTES) -> Leap | None:
    """Return how to begin with packet ``first``; None where that is not sound, or not worthwhile.

    A packet's piece may begin with the end of the packet before, so the leap goes to the piece before.
    """
    name, told = found.formats[0], np.frombuffer(scan.pos, np.int64)
    # of packets that begin in one piece of a stream, only the first has a place
    pos = np.maximum.accumulate(told)
    if len(found.formats) > 1 or scan.counted or not len(pos) or pos[0] < 0 or np.any((told != pos) & (told >= 0)):
        return None
    lead = int(np.searchsorted(pos, pos[first]))
    if name in _HEADS:
        begins, piece = pos - _HEADS[name], lead - 1
    elif name in _IN_UNITS:
        begins = np.frombuffer(scan.units, np.int64)
        piece = int(np.searchsorted(begins, pos[first], side="right")) - 1
    else:
        return None
    if piece < 0 or begins[piece] - pos[0] < worthwhile_bytes:
        return None
    return Leap(first, lead, int(begins[piece]), begins, overlaid=name == "mov")


def packets_after(
    video: OpenVideo, scan: PacketScan, leap: Leap, moved: int, rest: Callable[[int], Packets]
) -> Packets:
    """Yield the packets from ``leap.first`` on of a container whose file was leapt in; ``moved``: as ``take`` gave it.

    rest: reads the packets from a position on in another way. From where this one strays, its packets are taken.
    Raises: av.error.FFmpegError, EOFError, where a full read did too.
    """
    position = leap.lead
    try:
        for packet in video.packets():
            place = -1 if packet.pos is None else packet.pos + moved
            if not packet.size or (position == leap.lead and place < scan.pos[position]):
                continue  # of the head, or a rest of what was left out
            if position >= len(scan) or not _is_seen(scan, position, packet, place):
                break
            packet.pts, packet.dts = _time(scan.pts[position]), _time(scan.dts[position])
            if position >= leap.first:
                yield packet
            position += 1
    except (av.error.FFmpegError, EOFError):
        if position >= len(scan):
            raise
    if position < len(scan):
        yield from rest(max(position, leap.first))


def _is_seen(scan: PacketScan, position: int, packet: Packet[VideoStream], place: int) -> bool:
    """Say whether this is the packet that the index pass saw at a position."""
    same = place == scan.pos[position] and packet.size == scan.size[position]
    return same and not (packet.is_discard and scan.shown[position])


def _time(ticks: int) -> int | None:
    return None if ticks == NO_TIME else ticks
