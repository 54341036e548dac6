"""What the child said, believed only as far as it can be checked.

Untrusted media may have taken the child over. So each answer is read field by field; what no child of ours would say
raises GoneError, which ends the child, and never any other error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.cage_wire import GoneError
from pipeline.errors import CageError, MediaError
from pipeline.media import MediaInfo, MediaLimits, PacketIndex

Head = Mapping[str, Any]
_MAX_TEXT = 2000
_MAX_WARNINGS = 100
_LONG = 1 << 63
_KINDS = ("image", "animation", "video")


def media_info(head: Head) -> MediaInfo:
    """Return what a probe found. Raises: GoneError."""
    info = _field(head, "info", dict)
    if set(info) != set(MediaInfo.__dataclass_fields__):
        raise GoneError("it described an input in other words than ours")
    frames = info["frames"]
    return MediaInfo(
        kind=_one_of(info, "kind", _KINDS), format=_text(info, "format"), codec=_text(info, "codec"),
        width=_integer(info, "width", 0), height=_integer(info, "height", 0),
        rotation=_one_of(info, "rotation", (0, 90, 180, 270)),
        duration_seconds=_seconds(info, "duration_seconds"), frame_rate=_seconds(info, "frame_rate"),
        frames=None if frames is None else max(0, _integer(info, "frames", -_LONG)) or None,
        size_bytes=_integer(info, "size_bytes", 0), warnings=tuple(warnings_of(info)),
        extra=_field(info, "extra", dict),
    )  # fmt: skip


def packet_index(head: Head, payload: bytearray, limits: MediaLimits) -> PacketIndex:
    """Return an index. Raises: GoneError."""
    count = _integer(head, "count", 0)
    if len(payload) != 9 * count or count > limits.max_frames:
        raise GoneError(f"it announced {count} frames in {len(payload)} bytes")
    pts = np.frombuffer(payload, np.int64, count)
    if np.any(pts[1:] <= pts[:-1]):
        raise GoneError("its index does not rise")
    base = _field(head, "time_base", list)
    if len(base) != 2 or not all(type(part) is int and 0 < part < _LONG for part in base):
        raise GoneError("its time base is none")
    key = np.frombuffer(payload, np.uint8, count, 8 * count) != 0
    return PacketIndex(pts, key, Fraction(*base), _field(head, "timed", bool))


class FrameCheck:
    """Follows the frames of one answer: only wanted ones, in order, of a size that was allowed."""

    def __init__(self, wanted: NDArray[np.int64], width: int | None, limits: MediaLimits) -> None:
        self._wanted = wanted
        self._next = 0
        self._width = width
        self._max_pixels = limits.max_pixels

    def size(self, head: Head) -> tuple[int, int]:
        """Return height and width. Raises: GoneError."""
        height, width = _integer(head, "height", 1), _integer(head, "width", 1)
        too_wide = self._width is not None and width > self._width
        if height * width > self._max_pixels or too_wide:
            raise GoneError(f"it announced a picture of {width} x {height} pixels")
        return height, width

    def place(self, head: Head) -> int:
        """Return the place in the index. Raises: GoneError."""
        place = _integer(head, "place", 0)
        at = self._next + int(np.searchsorted(self._wanted[self._next :], place))
        if at >= len(self._wanted) or self._wanted[at] != place:
            raise GoneError(f"it gave frame {place}, which was not wanted now")
        self._next = at + 1
        return place

    @staticmethod
    def times(head: Head) -> tuple[int, float, float]:
        """Return pts, seconds and scale. Raises: GoneError."""
        seconds, scale = _number(head, "seconds"), _number(head, "scale")
        if not 0 < scale <= 1:
            raise GoneError(f"it gave a picture the scale {scale:g}")
        return _integer(head, "pts", -_LONG), seconds, scale


def skipped(check: FrameCheck, head: Head, report_from: int) -> tuple[tuple[int, int, float], ...]:
    """Return place, pts and seconds of wanted frames that were passed over and are reported. Raises: GoneError."""
    told = [(check.place(one), *check.times(one)[:2]) for one in _field(head, "frames", list) if isinstance(one, dict)]
    return tuple(one for one in told if one[0] >= report_from)


def threshold(head: Head) -> tuple[float, int]:
    """Return the threshold picked and how many frames it keeps. Raises: GoneError."""
    share = _number(head, "threshold")
    if not 0 <= share <= 1:
        raise GoneError(f"it picked the threshold {share:g}")
    return share, _integer(head, "kept", 0)


def error_of(head: Head) -> Exception:
    """Return the error that it reports, as one of ours. Raises: GoneError."""
    kind, code, message = _text(head, "kind"), _text(head, "code"), _text(head, "message")
    advice = None if head.get("advice") is None else _text(head, "advice")
    if kind == "IndexError":
        return IndexError(message)
    if kind == "MediaError" and code.startswith("media."):
        return MediaError(message, code=code, advice=advice)
    return CageError(message, code=code if code in ("cage.memory", "cage.hung") else None, advice=advice)


def warnings_of(head: Head) -> Sequence[dict[str, str]]:
    """Return the warnings in a head. Raises: GoneError."""
    said = head.get("warnings", [])
    if not isinstance(said, list) or len(said) > _MAX_WARNINGS or not all(isinstance(one, dict) for one in said):
        raise GoneError("it warned in other words than ours")
    return [{"code": _text(one, "code"), "message": _text(one, "message")} for one in said]


def _field(head: Head, name: str, kind: type) -> Any:
    value = head.get(name)
    if type(value) is not kind:
        raise GoneError(f"it gave no {name}")
    return value


def _text(head: Head, name: str) -> str:
    text: str = _field(head, name, str)
    return text[:_MAX_TEXT]


def _integer(head: Head, name: str, least: int) -> int:
    value: int = _field(head, name, int)
    if not least <= value < _LONG:
        raise GoneError(f"its {name} is no number we know")
    return value


def _number(head: Head, name: str) -> float:
    value = head.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < math.inf:
        raise GoneError(f"its {name} is no number")
    return float(min(max(value, -_LONG), _LONG))


def _seconds(head: Head, name: str) -> float | None:
    return None if head.get(name) is None else _number(head, name)


def _one_of(head: Head, name: str, known: Sequence[Any]) -> Any:
    value = head.get(name)
    if value not in known:
        raise GoneError(f"its {name} is none of ours")
    return value
