"""Which frames are kept: pure functions of the packet index, so that every worker chooses the same ones.

The choice is made on the whole input, in video time from its first frame, before it is cut into segments; a
segment only takes its part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ParamsError
from pipeline.media import PacketIndex

DEFAULT_STRIDE = 5

#: JSON Schema of the ``sampler`` parameter of every video pipeline
SAMPLER_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "title": "Sampler",
    "description": "Which frames of a video are looked at; the first one always is.",
    "additionalProperties": False,
    "default": {},
    "properties": {
        "policy": {
            "enum": ["stride", "fps", "keyframes"],
            "default": "stride",
            "description": "stride: every n-th frame; fps: so many a second of video time; keyframes: where the "
            "encoder put complete pictures (cheapest to decode).",
        },
        "stride": {
            "type": "integer",
            "minimum": 1,
            "maximum": 1_000_000,
            "default": DEFAULT_STRIDE,
            "description": "Policy stride: keep frames 0, n, 2n ...; 1 keeps all.",
        },
        "fps": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 1000,
            "default": 1.0,
            "description": "Policy fps: frames kept for each second of video.",
        },
    },
}


def choose(index: PacketIndex, sampler: Mapping[str, Any]) -> NDArray[np.int64]:
    """Return the places of the kept frames: int64, (k,), strictly rising, the first frame always among them.

    sampler: as SAMPLER_SCHEMA; absent fields take their defaults. Raises: ParamsError.
    """
    count = len(index)
    if count == 0:
        return np.zeros(0, np.int64)
    policy = sampler.get("policy", "stride")
    if policy == "stride":
        return np.arange(0, count, _stride(sampler), dtype=np.int64)
    if policy == "fps":
        return _on_grid(index, _rate(sampler))
    if policy == "keyframes":
        kept = index.key.copy()
        kept[0] = True
        return np.flatnonzero(kept).astype(np.int64)
    raise ParamsError(f"Unknown sampler policy {policy!r}.", advice="Use stride, fps or keyframes.")


def label(sampler: Mapping[str, Any]) -> str:
    """Return the short form that stands in result rows: "stride:5", "fps:2.5", "keyframes"."""
    policy = str(sampler.get("policy", "stride"))
    if policy == "stride":
        return f"stride:{_stride(sampler)}"
    if policy == "fps":
        return f"fps:{float(sampler.get('fps', 1.0)):g}"
    return policy


def _stride(sampler: Mapping[str, Any]) -> int:
    stride = int(sampler.get("stride", DEFAULT_STRIDE))
    if stride < 1:
        raise ParamsError("The stride must be at least 1.")
    return stride


def _rate(sampler: Mapping[str, Any]) -> Fraction:
    rate = Fraction(str(sampler.get("fps", 1.0))).limit_denominator(1_000_000)
    if rate <= 0:
        raise ParamsError("The sampling rate must be above 0 frames a second.")
    return rate


def _on_grid(index: PacketIndex, rate: Fraction) -> NDArray[np.int64]:
    """Return, for each instant of a time grid that starts at the first frame, the first frame at or after it.

    Containers round timestamps (Matroska to milliseconds), so a frame counts as up to half a unit later than
    written; without that, sampling at the video's own rate would lose frames. Integer arithmetic throughout.
    """
    step = index.time_base * rate / 2
    doubled = 2 * (index.pts - index.pts[0]) + 1
    if int(doubled[-1]) * step.numerator < 2**62:
        instants = doubled * step.numerator // step.denominator
    else:
        instants = np.array([int(value) * step.numerator // step.denominator for value in doubled], dtype=object)
    kept = np.ones(len(doubled), np.bool_)
    kept[1:] = instants[1:] > instants[:-1]
    return np.flatnonzero(kept).astype(np.int64)
