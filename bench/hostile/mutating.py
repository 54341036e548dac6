"""Ways to spoil a file, drawn from a seed: the same seed, number and source give the same bytes."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence

#: names of boxes, chunks and segments of the accepted formats: what follows or precedes them are sizes and counts
_NAMES = """
    ftyp moov mvhd trak tkhd edts elst mdia mdhd hdlr minf dinf dref stbl stsd stts ctts stsc stsz stco co64 stss mdat
    avc1 avcC hvc1 hvcC av01 av1C moof traf tfhd trun sidx meta iloc iinf iprp ipco ipma ispe pitm udta
    RIFF LIST hdrl avih strh strf movi idx1 00dc 01wb VP8X VP8L ANIM ANMF IHDR PLTE IDAT acTL fcTL fdAT iCCP eXIf tRNS
    OggS NETSCAPE2.0 DKIF FRAME
"""
#: EBML ids of Matroska; marks of JPEG, TIFF and MPEG; in hexadecimal
_NUMBERED = """
    1a45dfa3 18538067 1f43b675 1654ae6b a3 e0 b0 ffc0 ffc2 ffc4 ffda ffdb ffe1 ffe2 49492a00 4d4d002a
    000001ba 000001b3 000001b6 0000000167 0000000140 000001e0 4740
"""
_MARKS = (*(name.encode() for name in _NAMES.split()), *(bytes.fromhex(mark) for mark in _NUMBERED.split()))
_NUMBERS = (0, 1, 2, 7, 8, 15, 16, 100, 127, 128, 255, 256, 4095, 32767, 32768, 65535, 65536, 1 << 20, 1 << 24,
            (1 << 31) - 1, 1 << 31, (1 << 32) - 2, (1 << 32) - 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)  # fmt: skip


def mutated(seed: int, number: int, sources: Sequence[bytes]) -> tuple[int, tuple[str, ...], bytes]:
    """Return which source was taken, what was done to it, and the bytes.

    Small sources come more often than large ones, since they are quicker to try and more of them is structure.
    """
    draw = random.Random(f"{seed}:{number}")
    weights = [1 / (4096 + len(source)) ** 0.5 for source in sources]
    place = draw.choices(range(len(sources)), weights)[0]
    data, done = bytearray(sources[place]), []
    for _ in range(draw.choice((1, 1, 1, 1, 2, 2, 3, 6))):
        how = draw.choice(_WAYS)
        how(data, draw, sources)
        done.append(how.__name__.strip("_"))
    return place, tuple(done), bytes(data)


def _place(data: bytearray, draw: random.Random) -> int:
    """Return a place; four of ten are near an end, where heads and indexes are."""
    near = draw.choice(("start", "end", "anywhere", "anywhere", "anywhere"))
    reach = min(len(data), 4096)
    if near == "anywhere" or not data:
        return draw.randrange(len(data) + 1)
    return draw.randrange(reach) if near == "start" else len(data) - 1 - draw.randrange(reach)


def _block(data: bytearray, draw: random.Random) -> tuple[int, int]:
    start = _place(data, draw)
    return start, min(len(data), start + int(2 ** draw.uniform(0, 14)))


def _flipped_bits(data: bytearray, draw: random.Random, _: Sequence[bytes]) -> None:
    for _flip in range(draw.choice((1, 1, 2, 8, 64))):
        place = _place(data, draw)
        if place < len(data):
            data[place] ^= 1 << draw.randrange(8)


def _changed_number(data: bytearray, draw: random.Random, _: Sequence[bytes]) -> None:
    _put_number(data, _place(data, draw), draw)


def _put_number(data: bytearray, place: int, draw: random.Random) -> None:
    width = draw.choice((1, 2, 4, 4, 4, 8))
    value = draw.choice(_NUMBERS) % (1 << 8 * width)
    if 0 <= place <= len(data) - width:
        data[place : place + width] = value.to_bytes(width, draw.choice(("big", "little")))


def _changed_size(data: bytearray, draw: random.Random, _: Sequence[bytes]) -> None:
    """Change a length, count or dimension beside a mark that the formats know."""
    places = [place for mark in draw.sample(_MARKS, len(_MARKS)) if (place := _find(data, mark, draw)) >= 0][:4]
    if places:
        place, length = draw.choice(places), 4
        _put_number(data, place + draw.choice((-8, -4, -4, length, length, length + 4, length + 8, length + 12)), draw)


def _find(data: bytearray, mark: bytes, draw: random.Random) -> int:
    """Return one of the places of a mark; -1 where there is none."""
    found = data.find(mark, _place(data, draw))
    return found if found >= 0 else data.find(mark)


def _changed_png(data: bytearray, draw: random.Random, sources: Sequence[bytes]) -> None:
    """Change a PNG chunk's content and mend its checksum, so that it is believed; any other file gets a new number."""
    if not data.startswith(b"\x89PNG"):
        _changed_number(data, draw, sources)
        return
    chunks, place = [], 8
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        if length > len(data):
            break
        chunks.append((place, length))
        place += 12 + length
    if chunks:
        place, length = draw.choice(chunks)
        _put_number(data, place + 8 + draw.randrange(max(1, min(length, 32))), draw)
        end = place + 8 + length
        data[end : end + 4] = zlib.crc32(data[place + 4 : end]).to_bytes(4, "big")


def _cut_end(data: bytearray, draw: random.Random, _: Sequence[bytes]) -> None:
    del data[_place(data, draw) :]


def _cut_block(data: bytearray, draw: random.Random, _: Sequence[bytes]) -> None:
    start, stop = _block(data, draw)
    del data[start:stop]


def _doubled_block(data: bytearray, draw: random.Random, _: Sequence[bytes]) -> None:
    start, stop = _block(data, draw)
    data[stop:stop] = data[start:stop] * draw.choice((1, 1, 2, 16))


def _moved_block(data: bytearray, draw: random.Random, _: Sequence[bytes]) -> None:
    start, stop = _block(data, draw)
    block = data[start:stop]
    del data[start:stop]
    place = _place(data, draw)
    data[place:place] = block


def _filled_block(data: bytearray, draw: random.Random, _: Sequence[bytes]) -> None:
    start, stop = _block(data, draw)
    filling = draw.choice((b"\0", b"\xff", None))
    data[start:stop] = filling * (stop - start) if filling else draw.randbytes(stop - start)


def _foreign_head(data: bytearray, draw: random.Random, sources: Sequence[bytes]) -> None:
    """Put the beginning of another file before this one, or in place of its own beginning."""
    length = draw.choice((4, 12, 16, 64, 512, 4096))
    head = draw.choice(sources)[:length]
    data[: len(head) if draw.random() < 0.5 else 0] = head


def _foreign_end(data: bytearray, draw: random.Random, sources: Sequence[bytes]) -> None:
    other = draw.choice(sources)
    data[_place(data, draw) :] = other[len(other) // 2 :][: 64 << 10]


_WAYS: tuple[Callable[[bytearray, random.Random, Sequence[bytes]], None], ...] = (
    _flipped_bits, _flipped_bits, _changed_number, _changed_size, _changed_size, _changed_png, _cut_end, _cut_block,
    _doubled_block, _moved_block, _filled_block, _foreign_head, _foreign_end,
)  # fmt: skip
