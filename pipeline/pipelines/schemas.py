"""Pieces of parameter schemas that several pipelines share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.sampler_schema import SAMPLER_SCHEMA


def params_schema(*, sampled: bool = True, **properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema of ``sampler``, ``width`` and the properties given; sampled: whether videos are taken."""
    sampler = {"sampler": SAMPLER_SCHEMA} if sampled else {}
    return {"type": "object", "additionalProperties": False, "properties": {**sampler, "width": WIDTH, **properties}}


def number(
    default: float | None, low: float, high: float, description: str, *, nullable: bool = False
) -> dict[str, Any]:
    """Return the schema of a number; null is allowed where it is the default, or ``nullable``."""
    kind = _typed("number", default, nullable=nullable)
    return {**kind, "minimum": low, "maximum": high, "description": description}


def integer(default: int, low: int, high: int, description: str) -> dict[str, Any]:
    """Return the schema of a whole number."""
    return {"type": "integer", "default": default, "minimum": low, "maximum": high, "description": description}


def model_name(default: str | None, description: str, *, nullable: bool = False) -> dict[str, Any]:
    """Return the schema of a parameter that names a model; null, which names none, as for ``number``."""
    kind = _typed("string", default, nullable=nullable)
    return {**kind, "pattern": MODEL_NAME_PATTERN, "description": description}


def _typed(kind: str, default: Any, *, nullable: bool) -> dict[str, Any]:
    return {"type": [kind, "null"] if nullable or default is None else kind, "default": default}


WIDTH = integer(640, 16, 4096, "Frames are shrunk to at most this many pixels wide; never enlarged.")
MODEL_NAME_PATTERN = "^[a-z0-9][a-z0-9_-]{0,63}$"
#: for pipelines that have ``marks`` or ``moments``; see docs/howto/artifacts.md
ARTIFACTS = {
    "type": "array",
    "items": {"enum": ["annotated", "every_frame", "thumbnails"]},
    "uniqueItems": True,
    "default": [],
    "description": "Pictures to make of the result: annotated (the input with what was found drawn on it, a JPEG of a "
    "still, an H.264 film of a video's sampled frames), every_frame (the film has those between as well), thumbnails "
    "(the moments worth a look, at most 12). A film costs decoding again.",
}
