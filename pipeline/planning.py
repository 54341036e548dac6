"""Where an input is cut: pure functions of packet index, chosen frames and declared cost."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.adaptive import Rule, lead_in
from pipeline.media import MediaInfo, PacketIndex

#: seconds to decode one megapixel of one frame, measured on H.264 (2 ms); only the ratio to a model's cost matters
DECODE_SECONDS_PER_MEGAPIXEL = 0.002


@dataclass(frozen=True, slots=True)
class Range:
    """One planned segment: [start_pts, end_pts) in the source's time base; None is open."""

    start_pts: int | None = None
    end_pts: int | None = None
    frames: int = 1
    cost_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Selection:
    """The frames one range needs.

    wanted: int64, (k,), rising places in the packet index, lead-in first.
    report_from: the first place that is reported; those before it only warm up state.
    """

    wanted: NDArray[np.int64]
    report_from: int


def decode_seconds(media: MediaInfo) -> float:
    """Return what decoding one frame of this input is taken to cost."""
    return DECODE_SECONDS_PER_MEGAPIXEL * media.width * media.height / 1e6


def cut_ranges(
    index: PacketIndex,
    chosen: NDArray[np.int64],
    *,
    frame_seconds: float,
    decode_frame_seconds: float,
    segment_seconds: float,
) -> tuple[Range, ...]:
    """Cut the chosen frames into ranges of about ``segment_seconds`` of work, only at keyframes.

    Work of a group of pictures = chosen frames x ``frame_seconds`` + frames from its key to its last chosen frame
    x ``decode_frame_seconds``. The whole is divided evenly, each cut then moved to the nearest keyframe, so that no
    short rest is left over. Every range holds a chosen frame; together they hold each exactly once.
    """
    if segment_seconds <= 0:
        raise ValueError("segment_seconds must be above 0")
    starts = np.union1d([0], np.flatnonzero(index.key)).astype(np.int64)
    group = np.searchsorted(starts, chosen, side="right") - 1
    work = _work_by_group(starts, group, chosen, frame_seconds, decode_frame_seconds)
    before = np.concatenate(([0.0], np.cumsum(work)))
    cuts = _cuts(before, segment_seconds) if index.timed else np.empty(0, dtype=np.int64)
    edges = [0, *cuts.tolist(), len(starts)]
    ranges = []
    for first, last in pairwise(edges):
        ranges.append(
            Range(
                start_pts=int(index.pts[starts[first]]) if first else None,
                end_pts=int(index.pts[starts[last]]) if last < len(starts) else None,
                frames=int(np.count_nonzero((group >= first) & (group < last))),
                cost_seconds=round(float(before[last] - before[first]), 6),
            )
        )
    return tuple(ranges)


def _work_by_group(
    starts: NDArray[np.int64],
    group: NDArray[np.int64],
    chosen: NDArray[np.int64],
    frame_seconds: float,
    decode_frame_seconds: float,
) -> NDArray[np.float64]:
    kept = np.bincount(group, minlength=len(starts))
    last = np.full(len(starts), -1, dtype=np.int64)
    last[group] = chosen  # rising, so the last chosen place of each group stays
    decoded = np.maximum(last - starts + 1, 0)
    return np.asarray(kept * max(frame_seconds, 1e-6) + decoded * decode_frame_seconds, dtype=np.float64)


def _cuts(before: NDArray[np.float64], segment_seconds: float) -> NDArray[np.int64]:
    """Return the groups at which a new range starts, rising."""
    total = before[-1]
    count = max(1, round(total / segment_seconds))
    targets = total * np.arange(1, count) / count
    after = np.searchsorted(before, targets, side="left")
    nearer = targets - before[after - 1] < before[after] - targets
    # Groups without work share their neighbour's sum: of each sum the first, or a range could be left without frames.
    groups = np.unique(np.searchsorted(before, before[after - nearer], side="left"))
    return np.asarray(groups[(before[groups] > 0) & (before[groups] < total)], dtype=np.int64)


def select(
    index: PacketIndex,
    chosen: NDArray[np.int64],
    span: Range,
    *,
    lead_in_seconds: float = 0.0,
    lead_in_frames: int = 0,
    rule: Rule | None = None,
) -> Selection:
    """Return the frames of a range with the lead-in before it.

    The lead-in holds the chosen frames of the last ``lead_in_seconds`` and at least ``lead_in_frames`` of them, as far
    as the input has any; with ``lead_in_seconds`` above 0, at least one. Under a ``rule``, which keeps only some of the
    chosen frames, it is long enough for so many to be kept, and begins where the rule starts afresh.
    """
    first = 0 if span.start_pts is None else int(np.searchsorted(index.pts, span.start_pts))
    end = len(index) if span.end_pts is None else int(np.searchsorted(index.pts, span.end_pts))
    low, high = np.searchsorted(chosen, [first, end])
    lead = low
    if rule is not None:
        lead = lead_in(index, chosen, int(low), rule.max_gap_seconds, frames=lead_in_frames, seconds=lead_in_seconds)
    elif span.start_pts is not None:
        lead = low - max(lead_in_frames, 1 if lead_in_seconds > 0 else 0)
        if lead_in_seconds > 0:
            start = span.start_pts * float(index.time_base)
            lead = min(lead, np.searchsorted(index.seconds[chosen], start - lead_in_seconds))
    return Selection(wanted=chosen[max(0, int(lead)) : high].astype(np.int64), report_from=first)
