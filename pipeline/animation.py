"""How long each picture of an animated image is shown, read from the file's blocks without decoding.

Times follow browsers: a GIF picture shown for less than 20 ms is shown for 100 ms.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.errors import MediaError
from pipeline.media import MediaLimits

_DEFAULT_MS = 100
_PNG_TELLS = frozenset({b"eXIf", b"tEXt", b"zTXt", b"iTXt"})


@dataclass(frozen=True, slots=True)
class Part:
    """One picture of an animation: how long it is shown and how far it reaches on the canvas, in pixels."""

    milliseconds: int
    right: int
    bottom: int


def parts(descriptor: int, image_format: str, limits: MediaLimits) -> list[Part]:
    """Return the pictures that the file announces, perhaps one; as far as the blocks can be followed.

    Raises: MediaError (media.too_large) when there are more than may ever be decoded.
    """
    walk = _WALKS.get(image_format)
    if walk is None:
        return []
    found: list[Part] = []
    for part in walk(_Bytes(descriptor)):
        found.append(part)
        if len(found) > limits.max_frames:
            raise too_many_pixels(limits)
    return found


def too_many_pixels(limits: MediaLimits) -> MediaError:
    """Return the error for an animation whose pictures are too many or too large together."""
    return MediaError(
        f"The animation's pictures together have more than {limits.max_animation_pixels:,} pixels.",
        code="media.too_large", advice="Convert it to a video, or send a smaller or shorter one.",
    )  # fmt: skip


def png_tells_more_after_pixels(descriptor: int) -> bool:
    """Return whether a PNG has blocks of text or EXIF behind its pixels, where only decoding all of it finds them."""
    data, place, pixels = _Bytes(descriptor), 8, False
    while place < data.size:
        head = data.at(place, 8)
        if len(head) < 8:
            return False
        length, kind = struct.unpack(">I4s", head)
        if pixels and kind in _PNG_TELLS:
            return True
        pixels = pixels or kind == b"IDAT"
        place += 12 + length
    return False


class _Bytes:
    """Reads small pieces of a file at given places; short where it ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def at(self, place: int, count: int) -> bytes:
        return os.pread(self._descriptor, count, place)


def _gif(data: _Bytes) -> Iterator[Part]:
    flags = data.at(10, 1)
    if not flags:
        return
    place = 13 + _palette_bytes(flags[0])
    delay = _DEFAULT_MS
    while place < data.size:
        block = data.at(place, 10)
        if block[:2] == b"\x21\xf9" and len(block) >= 6:
            hundredths = struct.unpack_from("<H", block, 4)[0]
            delay = hundredths * 10 if hundredths >= 2 else _DEFAULT_MS
        if block[:1] == b"\x21":
            place = _after_sub_blocks(data, place + 2)
        elif block[:1] == b"\x2c" and len(block) == 10:
            left, top, width, height = struct.unpack_from("<4H", block, 1)
            yield Part(delay, left + width, top + height)
            delay = _DEFAULT_MS
            place = _after_sub_blocks(data, place + 11 + _palette_bytes(block[9]))
        else:
            return


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_sub_blocks(data: _Bytes, place: int) -> int:
    while size := data.at(place, 1):
        place += 1 + size[0]
        if not size[0]:
            return place
    return data.size


def _png(data: _Bytes) -> Iterator[Part]:
    place, animated = 8, False
    while place < data.size:
        head = data.at(place, 34)
        if len(head) < 8:
            return
        length, kind = struct.unpack_from(">I4s", head)
        if kind == b"acTL":
            animated = True
        elif kind == b"fcTL" and animated and len(head) >= 32:
            width, height, left, top, up, down = struct.unpack_from(">4I2H", head, 12)
            yield Part(round(1000 * up / (down or 100)) or _DEFAULT_MS, left + width, top + height)
        elif kind == b"IEND":
            return
        place += 12 + length


def _webp(data: _Bytes) -> Iterator[Part]:
    place = 12
    while place < data.size:
        head = data.at(place, 24)
        if len(head) < 8:
            return
        kind, length = struct.unpack_from("<4sI", head)
        if kind == b"ANMF" and len(head) == 24:
            left, top, width, height, shown = (int.from_bytes(head[at : at + 3], "little") for at in range(8, 23, 3))
            yield Part(shown or _DEFAULT_MS, 2 * left + width + 1, 2 * top + height + 1)
        place += 8 + length + (length & 1)


_WALKS: dict[str, Callable[[_Bytes], Iterator[Part]]] = {"GIF": _gif, "PNG": _png, "WEBP": _webp}
