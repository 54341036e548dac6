"""Segments for tests of decisions."""

from __future__ import annotations

from typing import Any

from storage.job import ClaimedSegment, InputRef, SegmentKind, SegmentPlan


def segment(**changes: Any) -> ClaimedSegment:
    """A claimed infer segment, with changes."""
    values: dict[str, Any] = {
        "id": "s1", "job_id": "j1", "run": 1, "index": 0, "kind": SegmentKind.INFER, "tenant": "t",
        "pipeline": "motion", "spec_version": 1, "lane": "cpu", "size_class": "short", "params": {},
        "batch_key": "b", "input": InputRef(key="k"), "range": SegmentPlan(), "solo": False, "attempts": 0,
        "max_attempts": 3, "holdups": 0, "held_up_since": None, "segments_total": 1, "media": None,
    }  # fmt: skip
    return ClaimedSegment(**{**values, **changes})
