"""The packets of a video as bytes, kept beside the input: whoever runs a segment of it need not read all of it again.

Read in the cage's child only, as untrusted as the input it tells of.
"""

from __future__ import annotations

import io
import json
import zipfile
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.index import PacketScan
from pipeline.media import PACKETS_VERSION, MediaLimits

_TIMES = ("pts", "dts")
_MARKS = ("key", "shown", "reset")
#: the columns with an entry for each packet
_EACH = (*_TIMES, *_MARKS, "pos", "size")


@dataclass(frozen=True, slots=True)
class KnownPackets:
    """What an index pass found: the packets, the stream's time base and average rate, and what was told of them."""

    scan: PacketScan
    time_base: Fraction
    rate: Fraction
    warnings: Sequence[Mapping[str, str]]


def pack(known: KnownPackets) -> bytes:
    """Return at most about six bytes a packet."""
    scan = known.scan
    facts = {
        "version": PACKETS_VERSION, "packets": len(scan), "broken": scan.broken, "counted": scan.counted,
        "top_layer": scan.top_layer, "time_base": known.time_base.as_integer_ratio(),
        "rate": known.rate.as_integer_ratio(), "warnings": [dict(warning) for warning in known.warnings],
    }  # fmt: skip
    columns: dict[str, NDArray[Any]] = {"facts": np.frombuffer(json.dumps(facts).encode(), np.uint8)}
    for name in _TIMES:
        # differences repeat, times do not; they wrap around where a time is absent, and wrap back when added up
        columns[name] = _steps(getattr(scan, name))
    for name in _MARKS:
        columns[name] = np.packbits(np.frombuffer(getattr(scan, name), np.bool_))
    sizes = np.frombuffer(scan.size, np.int32)
    columns |= {"size": sizes, "units": _steps(scan.units)}
    columns["pos"] = _steps(scan.pos) - _before(sizes)  # from the end of one packet to the start of the next
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **columns)
    return buffer.getvalue()


def unpack(data: bytes, limits: MediaLimits) -> KnownPackets:
    """Return what was packed. Raises: ValueError (not ours, of another version, cut short, larger than allowed)."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False, max_header_size=1000) as columns:
            _check_sizes(columns.zip.infolist(), limits)
            facts = json.loads(columns["facts"].tobytes())
            if facts["version"] != PACKETS_VERSION:
                raise ValueError("written by another version")
            count = int(facts["packets"])
            read: dict[str, Any] = {name: _summed(columns[name]) for name in (*_TIMES, "units")}
            read |= {name: bytearray(np.unpackbits(columns[name], count=count).tobytes()) for name in _MARKS}
            sizes = np.asarray(columns["size"], np.int32)
            read["size"], read["pos"] = array("i", sizes.tobytes()), _summed(columns["pos"] + _before(sizes))
            scan = PacketScan(
                **read, broken=bool(facts["broken"]), counted=bool(facts["counted"]), top_layer=int(facts["top_layer"])
            )
            time_base, rate = Fraction(*facts["time_base"]), Fraction(*facts["rate"])
            warnings = [{"code": str(one["code"]), "message": str(one["message"])} for one in facts["warnings"]]
    except (ValueError, MemoryError):
        raise
    except Exception as error:  # whatever the archive's reader makes of bytes that are not ours
        raise ValueError(f"not an index: {error!r}") from error
    if {len(getattr(scan, name)) for name in _EACH} != {count}:
        raise ValueError("columns of different lengths")
    return KnownPackets(scan, time_base, rate, warnings)


def _steps(column: array[int]) -> NDArray[np.int64]:
    values = np.frombuffer(column, np.int64)
    return values - _before(values)


def _summed(steps: NDArray[np.int64]) -> array[int]:
    return array("q", np.cumsum(steps, dtype=np.int64).tobytes())


def _before(values: NDArray[np.int32] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the value before each, 0 before the first."""
    return np.concatenate(([0], values))[: len(values)].astype(np.int64)


def _check_sizes(members: Sequence[zipfile.ZipInfo], limits: MediaLimits) -> None:
    if len(members) != 2 + len(_EACH) or any(member.file_size > limits.max_frames * 8 + 100_000 for member in members):
        raise ValueError("larger than any index that is allowed")
