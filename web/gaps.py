"""The gaps of a partial result, in seconds of the video; pure."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from storage.job import Job
from web.documents import MissingRange


def missing_ranges(job: Job) -> list[MissingRange]:
    """Return what a job's result lacks, in order of time, as the container counts it (see ``pts_seconds`` of rows)."""
    gaps = sorted(job.missing_ranges, key=lambda gap: int(gap["segment"]))
    spans = [span_seconds(job.media, gap["start_pts"], gap["end_pts"]) for gap in gaps]
    return [
        MissingRange(start_seconds=start, end_seconds=end, code=gap["code"], segment=gap["segment"])
        for gap, (start, end) in zip(gaps, spans, strict=True)
    ]


def span_seconds(
    media: Mapping[str, Any] | None, start_pts: int | None, end_pts: int | None
) -> tuple[float | None, float | None]:
    """Return a range of timestamps in seconds: at an open end the edge of the video, None where that is not known."""
    media = media or {}
    extra = media.get("extra") or {}
    first = extra.get("start_seconds")
    length = media.get("duration_seconds")
    last = None if first is None or length is None else first + length
    return _seconds(start_pts, extra, first), _seconds(end_pts, extra, last)


def _seconds(pts: int | None, extra: Mapping[str, Any], edge: float | None) -> float | None:
    """The time of a timestamp; where the range is open, the edge of the video."""
    if pts is None:
        return None if edge is None else round(edge, 6)
    base = extra.get("time_base")
    return None if base is None else round(float(pts * Fraction(base)), 6)
