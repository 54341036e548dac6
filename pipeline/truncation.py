"""Whether a file ends before the end that its own outermost sizes announce. Standard library only."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

#: a film has a few outermost boxes, a fragmented one two for every piece
_MAX_BOXES = 100_000


def announced_bytes(descriptor: int, demuxer: str) -> int | None:
    """Return the size that an open file's container announces, in bytes; None where the format does not say."""
    measure = _MEASURES.get(demuxer)
    return measure(descriptor, os.fstat(descriptor).st_size) if measure else None


def _riff(descriptor: int, size: int) -> int | None:
    head = os.pread(descriptor, 8, 0)
    announced = int.from_bytes(head[4:8], "little") + 8
    return announced if 8 < announced < 1 << 31 else None  # above that, and while recording, the field means nothing


def iso_boxes(descriptor: int, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, start, stop) of the outermost boxes of an MP4 that start in the file; the last may end beyond it."""
    start = 0
    for _ in range(_MAX_BOXES):
        head = os.pread(descriptor, 16, start)
        if len(head) < 8:
            return
        length = int.from_bytes(head[:4], "big")
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:  # 0 means: up to the end
            return
        yield head[4:8], start, start + length
        start += length
        if start > size:
            return


def _iso_end(descriptor: int, size: int) -> int | None:
    return next((stop for _, _, stop in iso_boxes(descriptor, size) if stop > size), None)


def _matroska(descriptor: int, size: int) -> int | None:
    head = os.pread(descriptor, 4096, 0)
    start = _after_element(head, 4)  # the EBML head, whose id has four bytes
    if start is None or head[start : start + 4] != b"\x18\x53\x80\x67":
        return None
    return _after_element(head, start + 4)


def _after_element(head: bytes, place: int) -> int | None:
    """Return where an element ends whose size stands at ``place``; None where the size is unknown."""
    if place >= len(head) or not head[place]:
        return None
    count = 9 - head[place].bit_length()
    value = int.from_bytes(head[place : place + count], "big") & ((1 << 7 * count) - 1)
    return None if value == (1 << 7 * count) - 1 else place + count + value


_MEASURES: dict[str, Callable[[int, int], int | None]] = {"avi": _riff, "mov": _iso_end, "matroska": _matroska}
