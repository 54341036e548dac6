"""Whether the CPU or a device decodes: decided from a trial in which both decoded the same pictures."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from pipeline.cage_wire import GoneError
from pipeline.device import DECODE_DEVICE

CPU: Final = "cpu"
#: the most of the CPU's processor time that the device's way may take, and of its wall time: what a device is to free
#: is the processor, and it may hold nobody up
_CPU_SHARE, _WALL_SHARE = 0.9, 1.0

#: why, in a word, and what it means
WHY: Final = {
    "asked": "no device was asked for",
    "absent": "the device could not be opened",
    "broke": "a decoding process broke with the device",
    "unsuited": "the device is not used for this codec, pixel format or container",
    "few": "too few pictures to be worth a trial",
    "different": "the device's pictures differ from the decoder's",
    "slower": "the device saves no processor time, or takes longer",
    "failed": "the device failed on pictures that the CPU decodes",
    "damaged": "the input is damaged, and the CPU tells how",
    "quicker": "the device gives the same pictures for less",
}


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of decoding some pictures one way: a digest of each, and what it took, in seconds."""

    pictures: tuple[str, ...]
    cpu_seconds: float
    wall_seconds: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What decodes (``cpu``, or the device's name) and why (a key of ``WHY``).

    The ratios are the device's seconds to the CPU's, of processor and of wall; None where nothing was measured.
    """

    on: str
    why: str
    cpu_ratio: float | None = None
    wall_ratio: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return asdict(self)


def choose(device: str, software: Trial, hardware: Trial | None) -> Verdict:
    """Return what is to decode, after a trial of both; ``hardware`` is None where the device failed.

    The device must give the same pictures, bit by bit, in no more wall time, for at most nine tenths of the processor
    time.
    """
    if hardware is None:
        return Verdict(CPU, "failed")
    ratios = (
        _ratio(hardware.cpu_seconds, software.cpu_seconds),
        _ratio(hardware.wall_seconds, software.wall_seconds),
    )
    if not software.pictures or hardware.pictures != software.pictures:
        return Verdict(CPU, "different", *ratios)
    if ratios[0] > _CPU_SHARE or ratios[1] > _WALL_SHARE:
        return Verdict(CPU, "slower", *ratios)
    return Verdict(device, "quicker", *ratios)


def verdict_of(told: object) -> Verdict:
    """Return what the cage's child says of its decoder. Raises: GoneError, as it may say anything."""
    if not isinstance(told, Mapping) or set(told) != set(Verdict.__dataclass_fields__):
        raise GoneError("it told of its decoder in other words than ours")
    on, why = told["on"], told["why"]
    if not isinstance(on, str) or not re.fullmatch(DECODE_DEVICE, on) or not isinstance(why, str) or why not in WHY:
        raise GoneError("it named a decoder that is none")
    ratios = [told["cpu_ratio"], told["wall_ratio"]]
    if not all(one is None or (type(one) in (int, float) and math.isfinite(one) and one >= 0) for one in ratios):
        raise GoneError("it measured its decoder in no numbers")
    return Verdict(on, why, *ratios)


def _ratio(part: float, whole: float) -> float:
    return round(part / max(whole, 1e-9), 4)
