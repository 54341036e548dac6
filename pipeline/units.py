"""What the first bytes of a packet say about its picture, read without decoding it."""

from __future__ import annotations

from collections.abc import Iterator

from av.packet import Packet
from av.video.stream import VideoStream

from pipeline.h264 import is_h264_reset

#: BLA, IDR and CRA
_HEVC_RESETS = frozenset({16, 17, 18, 19, 20, 21})

#: HEVC: unit types from here on carry no picture
_FIRST_NOT_A_SLICE = 32


def is_hidden(packet: Packet[VideoStream], codec: str) -> bool:
    """Say whether a packet holds only a reference that is never shown (VP8 and VP9 alternate references)."""
    if codec == "vp8":
        return not memoryview(packet)[0] & 0x10
    if codec == "vp9":
        return _vp9_hidden(memoryview(packet))
    return False


def is_packed(packet: Packet[VideoStream], codec: str) -> bool:
    """Say whether a packet holds several pictures (MPEG-4 as DivX wrote it): theirs are not the packets' timestamps."""
    return codec == "mpeg4" and bytes(packet).count(b"\0\0\1\xb6") > 1


def _vp9_hidden(data: memoryview) -> bool:
    if data[-1] & 0xE0 == 0xC0:  # a superframe: several frames in one packet, the last of them shown
        return False
    bits = data[0]
    if bits >> 6 != 2:
        return False
    at = 4 if (bits >> 4) & 3 != 3 else 5  # profile 3 has one more reserved bit
    if bits >> (7 - at) & 1:  # show_existing_frame
        return False
    return not bits >> (5 - at) & 1  # show_frame, two bits further


def is_reset(packet: Packet[VideoStream], codec: str, nal_bytes: int) -> bool:
    """Say whether nothing shown after this keyframe refers to anything before it; what leads it may."""
    data = memoryview(packet)
    if codec == "h264":
        return is_h264_reset(data, list(_units(data, nal_bytes)))
    if codec == "hevc":
        return any(data[place] >> 1 & 63 in _HEVC_RESETS for place in _units(data, nal_bytes))
    return codec != "vvc"


def temporal_layer(packet: Packet[VideoStream], nal_bytes: int) -> int:
    """Return the TemporalId of an HEVC picture; 0 where the packet holds none."""
    data = memoryview(packet)
    for place in _units(data, nal_bytes):
        if data[place] >> 1 & 63 < _FIRST_NOT_A_SLICE and place + 1 < len(data):
            return max(0, (data[place + 1] & 7) - 1)
    return 0


def nal_length(codec: str, extradata: bytes | None) -> int:
    """Return how many bytes tell a unit's length in this stream; 0 where start codes part them (Annex B)."""
    place = {"h264": 4, "hevc": 21}.get(codec)
    if place is None or not extradata or len(extradata) <= place or extradata[0] != 1:
        return 0
    return (extradata[place] & 3) + 1


def _units(data: memoryview, nal_bytes: int) -> Iterator[int]:
    """Yield where the header of each unit stands; a packet is copied only if it must be searched for start codes."""
    if nal_bytes == 0:
        copy = bytes(data)
        place = copy.find(b"\0\0\1")
        while 0 <= place < len(copy) - 3:
            yield place + 3
            place = copy.find(b"\0\0\1", place + 3)
        return
    place = 0
    while place + nal_bytes < len(data):
        yield place + nal_bytes
        place += nal_bytes + int.from_bytes(data[place : place + nal_bytes], "big")
