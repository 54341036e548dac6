"""Damage to a video, in the words of its result's warnings."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.container import OpenVideo
from pipeline.decode import Damage
from pipeline.index import PacketScan

UNTIMED = {
    "code": "media.untimed",
    "message": "The container has no usable timestamps; frames are counted, times follow from the frame rate.",
}


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _damaged(message: str) -> dict[str, str]:
    return {"code": "media.damaged", "message": message}


def missing_frames(missing: int, wanted: int) -> dict[str, str]:
    """Return the warning that some frames could not be had."""
    return _damaged(f"Left out, as it could not be decoded: {missing} of {_count(wanted, 'wanted frame')}.")


def scan_damage(video: OpenVideo, scan: PacketScan) -> Iterator[dict[str, str]]:
    """Yield what reading the packets met."""
    if scan.broken:
        yield _damaged(f"The file is damaged or cut short: reading ended after {len(scan)} packets.")
    elif video.announced > len(scan):
        yield _damaged(f"The file ends early: it announces {video.announced} frames and holds {len(scan)}.")


def damage_met(damage: Damage, complaints: int, wanted: int) -> Iterator[dict[str, str]]:
    """Yield what decoding met; complaints: errors that the decoder wrote to its log."""
    if damage.packets:
        yield _damaged(f"{_count(damage.packets, 'packet')} could not be decoded.")
    if damage.pictures or (complaints and not damage.packets):
        times = _count(max(complaints, damage.pictures), "time")
        yield _damaged(f"The decoder met damaged data {times}; some pictures may be flawed.")
    if damage.missing:
        yield missing_frames(damage.missing, wanted)
