"""Pieces of parameter schemas that several pipelines share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.sampler_schema import SAMPLER_SCHEMA


def params_schema(*, sampled: bool = True, **properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema of ``sampler``, ``width`` and the properties given; sampled: whether videos are taken."""
    sampler = {"sampler": SAMPLER_SCHEMA} if sampled else {}
    return {"type": "object", "additionalProperties": False, "properties": {**sampler, "width": WIDTH, **properties}}


def number(default: float | None, low: float, high: float, description: str) -> dict[str, Any]:
    """Return the schema of a number; with None as default, null is allowed too."""
    kind: Any = ["number", "null"] if default is None else "number"
    return {"type": kind, "default": default, "minimum": low, "maximum": high, "description": description}


def integer(default: int, low: int, high: int, description: str) -> dict[str, Any]:
    """Return the schema of a whole number."""
    return {"type": "integer", "default": default, "minimum": low, "maximum": high, "description": description}


#: what ``inferred`` means in every summary
INFERRED = "Frames of these that were looked at; under the adaptive sampler the others repeat the result of one before."
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
