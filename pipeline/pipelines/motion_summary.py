"""Summary of the motion pipeline: one pass over the rows, bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.marks import Moment
from pipeline.media import MediaInfo
from pipeline.pipelines.base import Row
from pipeline.pipelines.timeline import MAX_ENTRIES, SAMPLED_FIELDS, Curve, Sampled, Stretches, spans

#: flicker shorter than this is in the rows, not in the summary
MIN_STRETCH_SECONDS = 0.5

SUMMARY_FIELDS: Mapping[str, str] = {
    **SAMPLED_FIELDS,
    "activity": "mean and peak share of the picture that moves; peak_index, peak_seconds and peak_box (its largest "
    "moving box) say of which frame, null where nothing moves.",
    "activity_curve": "bin_seconds, and points: seconds, activity (mean) and peak of each bin; at most 600.",
    "moving": "max_boxes at once, boxes in all, seconds_with_motion, first_seconds and last_seconds of motion.",
    "scene_cuts": "Times in seconds of the first frame after each cut; at most 1,000.",
    "scene_cut_frames": "The index of each of these frames.",
    "still": "Stretches in which nothing changes: from_seconds, to_seconds.",
    "black": "Stretches of black picture.",
    "blurred": "Stretches of blurred picture.",
    "picture": "Mean luma (0-255) and mean blur (variance of the Laplacian) over all frames.",
    "truncated": "Names of the lists above that hold only their first 1,000 entries.",
}


def summarize_motion(rows: Iterable[Row], media: MediaInfo) -> dict[str, Any]:
    """Return the summary of all rows in time order."""
    tally = _Tally()
    for row in rows:
        tally.add(row)
    return tally.summary(media)


def motion_moments(summary: Mapping[str, Any]) -> list[Moment]:
    """Return the frame with the most motion, then the first frames after scene cuts, by time."""
    peak = summary["activity"]
    found = []
    if peak["peak_index"] is not None:
        box = None if peak["peak_box"] is None else tuple(peak["peak_box"])
        found.append(Moment(peak["peak_index"], f"most motion, at second {peak['peak_seconds']:.3f}", box))
    cuts = zip(summary["scene_cut_frames"], summary["scene_cuts"], strict=True)
    return found + [Moment(index, f"scene cut at second {seconds:.3f}") for index, seconds in cuts]


class _Tally:
    def __init__(self) -> None:
        self.boxes = 0
        self.max_boxes = 0
        self.sums = {"activity": 0.0, "luma": 0.0, "blur": 0.0}
        self.peak: dict[str, Any] = {"peak": 0.0, "peak_index": None, "peak_seconds": None, "peak_box": None}
        self.cuts: list[float] = []
        self.cut_frames: list[int] = []
        self.truncated: set[str] = set()
        self.curve = Curve()
        self.sampled = Sampled()
        self.motion = Stretches()
        self.stretches = {name: Stretches(min_seconds=MIN_STRETCH_SECONDS) for name in ("still", "black", "blurred")}
        self.first: float | None = None
        self.last: float | None = None

    def add(self, row: Row) -> None:
        seconds = row["pts_seconds"]
        self.sampled.add(row)
        self.curve.add(seconds, {"activity": row["activity"]})
        if row["activity"] > self.peak["peak"]:
            box = row["objects"][0]["box"] if row["objects"] else None
            self.peak = dict(zip(self.peak, (row["activity"], row["index"], seconds, box), strict=True))
        for name in self.sums:
            self.sums[name] += row[name]
        for name, stretch in self.stretches.items():
            stretch.add(seconds, True if row[f"is_{name}"] else None)
        self._add_boxes(seconds, len(row["objects"]))
        if row["is_cut"]:
            if len(self.cuts) < MAX_ENTRIES:
                self.cuts.append(round(seconds, 3))
                self.cut_frames.append(row["index"])
            else:
                self.truncated.add("scene_cuts")

    def _add_boxes(self, seconds: float, count: int) -> None:
        self.motion.add(seconds, True if count else None)
        self.boxes += count
        self.max_boxes = max(self.max_boxes, count)
        if count:
            self.first = seconds if self.first is None else self.first
            self.last = seconds

    def summary(self, media: MediaInfo) -> dict[str, Any]:
        end = self.sampled.end_within(media.duration_seconds)
        found = {name: spans(stretch, end) for name, stretch in self.stretches.items()}
        self.truncated.update(name for name, stretch in self.stretches.items() if stretch.truncated)
        self.motion.finish(end)
        mean = {name: total / max(1, self.sampled.frames) for name, total in self.sums.items()}
        return {
            **self.sampled.told(media),
            "activity": {"mean": round(mean["activity"], 5), **self.peak},
            "activity_curve": {
                "bin_seconds": self.curve.bin_seconds,
                "points": [
                    {"seconds": at, "activity": round(means["activity"], 5), "peak": peaks["activity"]}
                    for at, means, peaks in self.curve.points()
                ],
            },
            "moving": {
                "max_boxes": self.max_boxes,
                "boxes": self.boxes,
                "seconds_with_motion": round(self.motion.seconds.get(True, 0.0), 3),
                "first_seconds": self.first,
                "last_seconds": self.last,
            },
            "scene_cuts": self.cuts,
            "scene_cut_frames": self.cut_frames,
            **found,
            "picture": {"luma": round(mean["luma"], 2), "blur": round(mean["blur"], 2)},
            "truncated": sorted(self.truncated),
        }
