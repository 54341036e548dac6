"""Opens a video so that reading begins near the first wanted packet: by a leap, by a jump in time, or at its start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import islice

from av.codec.hwaccel import HWAccel

from pipeline.container import OpenVideo, open_video
from pipeline.index import PacketScan
from pipeline.leap import WORTHWHILE_BYTES, find_leap, packets_after
from pipeline.libav_log import LibavLog
from pipeline.media import MediaLimits
from pipeline.ranged_file import RangedFile
from pipeline.seek import Packets, packets_from_start, packets_near
from pipeline.sniff import Sniffed


@dataclass(frozen=True, slots=True)
class Input:
    """An input that may be opened more than once.

    source: a whole file, or one that is filled as it is read. accel: as ``open_video``.
    """

    source: int | RangedFile
    found: Sniffed
    limits: MediaLimits
    log: LibavLog | None = None
    accel: HWAccel | None = None

    def opened(self) -> AbstractContextManager[OpenVideo]:
        """Open it at its start. Raises: as ``open_video``."""
        source = self.source if isinstance(self.source, int) else self.source.whole()
        return open_video(source, self.found, self.limits, self.log, accel=self.accel)

    def opened_to_leap(self) -> tuple[RangedFile, AbstractContextManager[OpenVideo]]:
        """Return a file in which places can be left out, and its opening."""
        file = RangedFile(self.source, _all_is_here) if isinstance(self.source, int) else self.source.whole()
        return file, open_video(file, self.found, self.limits, self.log, accel=self.accel, in_order=True)

    def packets(self, position: int) -> Packets:
        """Yield the packets from a position on, read from the start. Raises: as ``open_video``, FFmpegError."""
        with self.opened() as video:
            yield from islice(packets_from_start(video)[1], position, None)


@contextmanager
def opened_near(
    given: Input, scan: PacketScan, first: int, worthwhile_bytes: int = WORTHWHILE_BYTES
) -> Iterator[tuple[OpenVideo, int, Packets]]:
    """Open a video; give it, a position at or before ``first``, and the packets from there on.

    Positions count non-empty packets in decoding order, as in ``scan``. Raises: as ``open_video``.
    """
    leap = find_leap(scan, given.found, first, worthwhile_bytes)
    if leap is not None:
        file, opening = given.opened_to_leap()
        with opening as video:
            moved = leap.take(file)
            if moved is not None:
                yield video, first, packets_after(video, scan, leap, moved, given.packets)
                return
    with given.opened() as video:
        near = packets_near(video, scan, first)
        if near is not None:
            yield video, *near
            return
    with given.opened() as video:
        yield video, *packets_from_start(video)


def _all_is_here(start: int, stop: int) -> None:
    """Ask nobody for the bytes of a whole file."""
