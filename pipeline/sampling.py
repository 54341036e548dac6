"""Which frames are kept: pure functions of the packet index, so that every worker chooses the same ones.

The choice is made on the whole input, in video time from its first frame, before it is cut into segments; a
segment only takes its part of it. Policy ``adaptive`` chooses candidates here; which of them are kept is seen while
they are decoded (``pipeline.adaptive``).
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.adaptive import Rule
from pipeline.errors import ParamsError
from pipeline.media import PacketIndex
from pipeline.sampler_schema import (
    DEFAULT_EVERY_SECONDS,
    DEFAULT_MAX_GAP_SECONDS,
    DEFAULT_STRIDE,
    DEFAULT_THRESHOLD,
    DEFAULT_TOLERANCE,
    POLICIES,
    SAMPLER_SCHEMA,
)

__all__ = ["SAMPLER_SCHEMA", "adaptive_rule", "choose", "label", "left_out"]

_ADAPTIVE_DEFAULTS = {
    "threshold": DEFAULT_THRESHOLD,
    "min_gap_seconds": 0.0,
    "max_gap_seconds": DEFAULT_MAX_GAP_SECONDS,
}


def choose(index: PacketIndex, sampler: Mapping[str, Any]) -> NDArray[np.int64]:
    """Return the places of the sampled frames: int64, (k,), strictly rising, without doubles.

    The first frame is always among them, but for policy ``at``. sampler: as SAMPLER_SCHEMA; absent fields take their
    defaults. Raises: ParamsError (params.invalid; sampler.beyond_end when no time of policy ``at`` is in the video).
    """
    policy = sampler.get("policy", "stride")
    if policy not in POLICIES:
        raise ParamsError(f"Unknown sampler policy {policy!r}.", advice=f"Use one of: {', '.join(POLICIES)}.")
    count = len(index)
    if count == 0:
        return np.zeros(0, np.int64)
    if policy in ("stride", "adaptive"):
        adaptive_rule(sampler)
        return np.arange(0, count, _stride(sampler), dtype=np.int64)
    if policy == "fps":
        return _first_at_or_after(index, _positive(sampler, "fps", 1.0))
    if policy == "every":
        return _cheapest_near(index, _positive(sampler, "every_seconds", DEFAULT_EVERY_SECONDS), _tolerance(sampler))
    if policy == "at":
        return _shown_at(index, sampler)
    kept = index.key.copy()
    kept[0] = True
    return np.flatnonzero(kept).astype(np.int64)


def left_out(index: PacketIndex, sampler: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the warning that tells which times of policy ``at`` lie beyond the end; mostly there is none."""
    if sampler.get("policy") != "at" or not len(index):
        return []
    beyond = [seconds for seconds in _times(sampler) if _units(index, seconds) >= _end(index)]
    if not beyond:
        return []
    named = ", ".join(f"{float(seconds):g}" for seconds in beyond[:5]) + (" ..." if len(beyond) > 5 else "")
    lasts = float(_end(index) * index.time_base)
    times = "1 time lies" if len(beyond) == 1 else f"{len(beyond)} times lie"
    return [{"code": "sampler.beyond_end", "message": f"{times} beyond the end at {lasts:.3f} s: {named}."}]


def adaptive_rule(sampler: Mapping[str, Any]) -> Rule | None:
    """Return the rule by which candidates are kept; None where all sampled frames are. Raises: ParamsError."""
    if sampler.get("policy") != "adaptive":
        return None
    rule = Rule.of({**_ADAPTIVE_DEFAULTS, **sampler})
    if not 0 <= rule.min_gap_seconds <= rule.max_gap_seconds or rule.max_gap_seconds <= 0:
        raise ParamsError("The sampler's min_gap_seconds must not be above its max_gap_seconds.")
    return rule


def label(sampler: Mapping[str, Any]) -> str:
    """Return the short form that stands in result rows: "stride:5", "fps:2.5", "every:10", "adaptive:0.03", "at"."""
    policy = str(sampler.get("policy", "stride"))
    if policy == "stride":
        return f"stride:{_stride(sampler)}"
    shown = {
        "fps": ("fps", 1.0),
        "every": ("every_seconds", DEFAULT_EVERY_SECONDS),
        "adaptive": ("threshold", DEFAULT_THRESHOLD),
    }
    if policy not in shown:
        return policy
    name, default = shown[policy]
    return f"{policy}:{float(sampler.get(name, default)):g}"


def _stride(sampler: Mapping[str, Any]) -> int:
    stride = int(sampler.get("stride", DEFAULT_STRIDE))
    if stride < 1:
        raise ParamsError("The stride must be at least 1.")
    return stride


def _positive(sampler: Mapping[str, Any], name: str, default: float) -> Fraction:
    value = Fraction(str(sampler.get(name, default))).limit_denominator(1_000_000)
    if value <= 0:
        raise ParamsError(f"The sampler's {name} must be above 0.")
    return value


def _tolerance(sampler: Mapping[str, Any]) -> Fraction:
    tolerance = Fraction(str(sampler.get("tolerance", DEFAULT_TOLERANCE))).limit_denominator(1_000_000)
    if not 0 <= tolerance <= Fraction(1, 2):
        raise ParamsError("The sampler's tolerance must be from 0 to 0.5.")
    return tolerance


def _times(sampler: Mapping[str, Any]) -> list[Fraction]:
    times = [Fraction(str(seconds)) for seconds in sampler.get("at_seconds", ())]
    if not times or min(times) < 0:
        raise ParamsError("The sampler's at_seconds must name times from 0 on.", advice="Policy at needs at least one.")
    return times


def _first_at_or_after(index: PacketIndex, rate: Fraction) -> NDArray[np.int64]:
    """Return, for each instant of a time grid that starts at the first frame, the first frame at or after it."""
    return np.flatnonzero(_begins(_cells(index, rate, Fraction(0)))).astype(np.int64)


def _cheapest_near(index: PacketIndex, step: Fraction, tolerance: Fraction) -> NDArray[np.int64]:
    """Return one frame for each multiple of ``step`` seconds: within the tolerance the key nearest to it, else the
    first frame, which needs the least decoding before it; where there is none in it, the next one.
    """  # fmt: skip
    cells = _cells(index, 1 / step, tolerance)
    starts = np.flatnonzero(_begins(cells))
    chosen = starts.copy()
    since = (index.pts - index.pts[0]).astype(np.float64) * float(index.time_base / step)
    keys = np.flatnonzero(index.key)
    off = np.abs(since[keys] - cells[keys].astype(np.float64))
    near = off <= float(tolerance)
    keys, off = keys[near], off[near]
    number = np.searchsorted(starts, keys, side="right") - 1
    order = np.lexsort((keys, off, number))
    first = np.flatnonzero(_begins(number[order]))
    chosen[number[order][first]] = keys[order][first]
    chosen[0] = 0
    return chosen.astype(np.int64)


def _shown_at(index: PacketIndex, sampler: Mapping[str, Any]) -> NDArray[np.int64]:
    since = index.pts - index.pts[0]
    units = [_units(index, seconds) for seconds in _times(sampler)]
    inside = np.array([value for value in units if value < _end(index)], np.int64)
    if not len(inside):
        raise ParamsError(
            f"None of the {len(units)} times is in the video; it ends at {float(_end(index) * index.time_base):.3f} s.",
            code="sampler.beyond_end", advice="Times count from the video's first frame.",
        )  # fmt: skip
    return np.unique(np.searchsorted(since, inside, side="right") - 1).astype(np.int64)


def _units(index: PacketIndex, seconds: Fraction) -> int:
    """Return a time in whole units, half a millisecond or half a unit more: containers and result rows round theirs."""
    return int(seconds / index.time_base + min(Fraction(1, 2), Fraction(1, 2000) / index.time_base))


def _end(index: PacketIndex) -> int:
    """Return when the last frame is over, in units from the first: it is taken to last as long as the one before."""
    last = int(index.pts[-1] - index.pts[0])
    return last + (int(index.pts[-1] - index.pts[-2]) if len(index) > 1 else 1)


def _cells(index: PacketIndex, rate: Fraction, early: Fraction) -> NDArray[Any]:
    """Return the grid cell that each frame is in, from 0; a cell begins ``early`` of its length before its instant.

    Containers round timestamps (Matroska to milliseconds), so a frame counts as up to half a unit later than
    written; without that, sampling at the video's own rate would lose frames. Integer arithmetic throughout.
    """
    step = index.time_base * rate / 2
    doubled = 2 * (index.pts - index.pts[0]) + 1
    factor, offset = step.numerator * early.denominator, early.numerator * step.denominator
    divisor = step.denominator * early.denominator
    if int(doubled[-1]) * factor + offset < 2**62 and divisor < 2**62:
        return np.asarray((doubled * factor + offset) // divisor)
    return np.array([(int(value) * factor + offset) // divisor for value in doubled], dtype=object)


def _begins(cells: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where a new value begins in a rising row."""
    begins = np.ones(len(cells), np.bool_)
    begins[1:] = cells[1:] > cells[:-1]
    return begins
