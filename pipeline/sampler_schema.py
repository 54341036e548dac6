"""JSON Schema of the ``sampler`` parameter: every policy's fields, their limits and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEFAULT_STRIDE = 5
#: seconds for each frame of policy ``every``
DEFAULT_EVERY_SECONDS = 1.0
#: share of ``every_seconds`` by which policy ``every`` may be early or late
DEFAULT_TOLERANCE = 0.25
#: policy ``adaptive``: about the smallest change that is more than noise on fixed cameras; see docs/benchmarks.md
DEFAULT_THRESHOLD = 0.03
DEFAULT_MAX_GAP_SECONDS = 5.0
#: times that one job may ask for
MAX_TIMES = 10_000

POLICIES = ("stride", "fps", "keyframes", "at", "every", "adaptive")

_POLICY = {
    "enum": list(POLICIES),
    "default": "stride",
    "description": "stride: every n-th frame; fps: so many a second of video time; keyframes: where the encoder put "
    "complete pictures (cheapest to decode); at: the frames shown at given times; every: about one each so many "
    "seconds, the cheapest to decode nearby; adaptive: those that differ from the last one kept, whose result the "
    "others carry.",
}

_FIELDS: Mapping[str, Mapping[str, Any]] = {
    "stride": {
        "type": "integer",
        "minimum": 1,
        "maximum": 1_000_000,
        "default": DEFAULT_STRIDE,
        "description": "Policies stride and adaptive: look at frames 0, n, 2n ...; 1 looks at all.",
    },
    "fps": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 1000,
        "default": 1.0,
        "description": "Policy fps: frames kept for each second of video.",
    },
    "at_seconds": {
        "type": "array",
        "items": {"type": "number", "minimum": 0, "maximum": 1_000_000},
        "maxItems": MAX_TIMES,
        "default": [],
        "description": "Policy at: times in seconds from the video's first frame, in any order; for each the frame "
        "that a player shows then. Times beyond the end give the warning sampler.beyond_end.",
    },
    "every_seconds": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 86_400,
        "default": DEFAULT_EVERY_SECONDS,
        "description": "Policy every: seconds of video for each frame kept.",
    },
    "tolerance": {
        "type": "number",
        "minimum": 0,
        "maximum": 0.5,
        "default": DEFAULT_TOLERANCE,
        "description": "Policy every: how far from its instant a cheaper frame may lie, as a share of every_seconds.",
    },
    "threshold": {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "default": DEFAULT_THRESHOLD,
        "description": "Policy adaptive: keep a frame when more than this share of the picture has changed.",
    },
    "min_gap_seconds": {
        "type": "number",
        "minimum": 0,
        "maximum": 3600,
        "default": 0.0,
        "description": "Policy adaptive: after a frame kept, pass over what comes sooner than this, changed or not.",
    },
    "max_gap_seconds": {
        "type": "number",
        "minimum": 0.1,
        "maximum": 3600,
        "default": DEFAULT_MAX_GAP_SECONDS,
        "description": "Policy adaptive: keep a frame after this long though nothing has changed; not below "
        "min_gap_seconds.",
    },
    "budget": {
        "type": ["number", "null"],
        "exclusiveMinimum": 0,
        "maximum": 1,
        "default": None,
        "description": "Policy adaptive: about this share of all frames is kept; a first pass over parts of the video "
        "picks the threshold, in place of yours. null: no budget.",
    },
}

SAMPLER_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "title": "Sampler",
    "description": "Which frames of a video are looked at; the first one always is, but for policy at.",
    "additionalProperties": False,
    "default": {},
    "properties": {"policy": _POLICY, **_FIELDS},
    "if": {"properties": {"policy": {"const": "at"}}, "required": ["policy"]},
    "then": {"properties": {"at_seconds": {"minItems": 1}}, "required": ["at_seconds"]},
}
