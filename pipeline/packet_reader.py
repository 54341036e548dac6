"""Reads the packets that a decoder is to be given, and jumps over long stretches between them.

A film sampled sparsely is mostly such stretches. A jump is believed only where it lands on a packet that the index
pass saw exactly once, before the wanted one; where one fails, the film is read on from there as it lies.
"""

from __future__ import annotations

import av.error
from av.packet import Packet
from av.video.stream import VideoStream

from pipeline.cage_wire import Tick, no_tick
from pipeline.container import OpenVideo
from pipeline.index import PacketScan
from pipeline.seek import Packets, is_seekable, landed_near

#: A jump took 50 to 85 us of processor time in MP4, reading on 5 to 7 us a packet (2026-11-21, AMD EPYC).
_WORTHWHILE_PACKETS = 24


class PacketReader:
    """Gives packets by position: their number in decoding order, empty ones not counted."""

    def __init__(
        self, video: OpenVideo, scan: PacketScan, start: int, packets: Packets, *, tick: Tick = no_tick
    ) -> None:
        """Take an open video, what its index pass saw, and its packets from position ``start`` on.

        tick: called for each packet that is read.
        """
        self._video = video
        self._scan = scan
        self._next = start
        self._packets = packets
        self._tick = tick
        self._jumps = not video.in_order and is_seekable(video, scan) and not scan.broken

    def at(self, position: int, *, apart: bool) -> Packet[VideoStream] | None:
        """Return the packet at a position after all given before; None where the film ends before it.

        apart: whether what was given before may be forgotten, as a jump makes the stream's decoder do.
        Raises: av.error.FFmpegError, EOFError, where reading fails.
        """
        if apart and self._jumps and position - self._next >= _WORTHWHILE_PACKETS:
            self._jump(position)
        for packet in self._packets:
            self._tick()
            self._next += 1
            if self._next > position:
                return packet
        return None

    def _jump(self, position: int) -> None:
        """Read on from a keyframe at or before ``position``, nearer than where we stand unless the jump went wrong."""
        landed = landed_near(self._video, self._scan, position)
        if landed is None:
            self._jumps = False
            landed = landed_near(self._video, self._scan, max(0, self._scan.key.find(1)))
        if landed is None:
            raise av.error.InvalidDataError(0, "the film cannot be read on after a jump")
        self._jumps = self._jumps and landed[0] > self._next
        self._next, self._packets = landed
