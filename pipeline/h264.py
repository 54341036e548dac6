"""Where decoding of an H.264 film may start: at IDR pictures, and where the encoder vouches for another one.

Broadcasts and films with open groups of pictures have an IDR at their start only. Their other keyframes hold intra
slices alone, with a message (SEI, recovery point) that from here on every picture comes out exactly right.
"""

from __future__ import annotations

from collections.abc import Sequence

_SLICE, _IDR, _SEI = 1, 5, 6
_INTRA = frozenset({2, 4, 7, 9})  # I and SI, each alone or said of the whole picture
_RECOVERY_POINT = 6
#: as much as is looked at of a message unit and of a slice
_SEI_BYTES, _SLICE_BYTES = 1024, 24


def is_h264_reset(data: memoryview, units: Sequence[int]) -> bool:
    """Say whether nothing shown after this picture refers to anything before it.

    units: where the header of each unit of the packet stands.
    """
    kinds = [data[place] & 31 for place in units]
    if _IDR in kinds:
        return True
    slices = [place for place, kind in zip(units, kinds, strict=True) if kind == _SLICE]
    told = [place for place, kind in zip(units, kinds, strict=True) if kind == _SEI]
    return (
        bool(slices)
        and any(_vouches(_Bits(data[place + 1 : place + 1 + _SEI_BYTES])) for place in told)
        and all(_slice_type(_Bits(data[place + 1 : place + 1 + _SLICE_BYTES])) in _INTRA for place in slices)
    )


class _Bits:
    """Reads bits of a unit, past the bytes that only keep start codes from appearing. Beyond the end are zeros."""

    def __init__(self, data: memoryview) -> None:
        self.data = bytes(data).replace(b"\0\0\3", b"\0\0")
        self._at = 0

    def take(self, count: int) -> int:
        value = 0
        for place in range(self._at, self._at + count):
            byte = self.data[place >> 3] if place >> 3 < len(self.data) else 0
            value = value << 1 | byte >> (7 - (place & 7)) & 1
        self._at += count
        return value

    def number(self) -> int:
        """Read an Exp-Golomb number; -1 where there is none of a sane size."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 31:
                return -1
        return (1 << zeros | self.take(zeros)) - 1


def _slice_type(bits: _Bits) -> int:
    bits.number()  # the first macroblock
    return bits.number()


def _vouches(bits: _Bits) -> bool:
    """Say whether the messages of a unit hold a recovery point here and now, exact and with no link broken."""
    data, place = bits.data, 0
    while place + 2 < len(data):
        kind, place = _sum_of_bytes(data, place)
        length, place = _sum_of_bytes(data, place)
        if kind == _RECOVERY_POINT:
            point = _Bits(memoryview(data)[place : place + length])
            return point.number() == 0 and point.take(1) == 1 and point.take(1) == 0
        place += length
    return False


def _sum_of_bytes(data: bytes, place: int) -> tuple[int, int]:
    """Read a number that goes on as long as its bytes are 255; return it and where it ends."""
    value = 0
    while place < len(data):
        value, place = value + data[place], place + 1
        if data[place - 1] != 255:
            break
    return value, place
