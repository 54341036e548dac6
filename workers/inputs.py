"""How an input comes to a segment: all of it, or of a long video only what the segment reads.

Whoever plans a large video keeps what its packets are beside it; whoever runs a segment of it needs not read all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.media import MAX_PACKETS_BYTES, PACKETS_VERSION, Parts
from storage.errors import ObjectNotFound, StorageUnavailable
from storage.job import ClaimedSegment, InputRef, SegmentKind
from storage.objects.keys import packets_key
from workers.hand import Hand
from workers.logs import get_logger
from workers.scratch import identity

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Lent:
    """An input on this machine's disk; with ``parts``, a file that is filled as it is read."""

    path: Path
    sha256: str | None
    parts: Parts | None


@contextmanager
def lent(hand: Hand, segment: ClaimedSegment) -> Iterator[Lent]:
    """Lend the input of a segment. Raises: as ``Scratch.input``; from ``parts.fill`` too."""
    scratch = hand.station.scratch
    known = None if scratch.holds(segment.input) else _known(hand, segment)
    if known is None:
        with scratch.input(segment.input, hand.checkpoint) as (path, stored):
            yield Lent(path, stored.sha256, None)
        return
    with scratch.part(segment.input, hand.checkpoint) as part:
        parts = None if part.fill is None else Parts(known, part.fill)
        yield Lent(part.path, part.stored.sha256, parts)


def keep_packets(hand: Hand, segment: ClaimedSegment, path: Path) -> None:
    """Put what a plan found of a large video's packets beside it; without it, its segments read all of the video.

    Raises: what ``hand.checkpoint`` raises, CageError.
    """
    if not is_large(segment.input, hand.station.limits.parts_above_bytes):
        return
    packets = hand.station.cage.packets(path, hand.checkpoint)
    if len(packets) > MAX_PACKETS_BYTES:
        return
    try:
        hand.station.objects.put(_key(segment), packets)
    except StorageUnavailable as error:
        log.warning("packets.not_kept", job_id=segment.job_id, error=repr(error))


def is_large(source: InputRef, above_bytes: int) -> bool:
    """Whether it is worth asking for single parts of an input."""
    return source.key is not None and source.size_bytes is not None and source.size_bytes > above_bytes


def reads_parts(segment: ClaimedSegment, above_bytes: int) -> bool:
    """Whether a segment reads only parts of its input, and the rest is worth leaving out.

    A merge reads only what it draws on.
    """
    span = segment.range
    is_part = segment.kind is SegmentKind.INFER and (span.start_pts is not None or span.end_pts is not None)
    return (is_part or segment.kind is SegmentKind.MERGE) and is_large(segment.input, above_bytes)


def _known(hand: Hand, segment: ClaimedSegment) -> bytes | None:
    if not reads_parts(segment, hand.station.limits.parts_above_bytes):
        return None
    try:
        with hand.station.objects.open(_key(segment)) as body:
            known = body.read(MAX_PACKETS_BYTES + 1)
    except ObjectNotFound:
        return None
    return known if 0 < len(known) <= MAX_PACKETS_BYTES else None


def _key(segment: ClaimedSegment) -> str:
    return packets_key(segment.job_id, f"{PACKETS_VERSION}-{identity(segment.input)}")
