"""Detect: objects with label, score and box, by any detector on the shelf."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.frame import Frame
from pipeline.marks import Mark, Moment, box_mark
from pipeline.media import MediaInfo
from pipeline.pipelines.base import Params, Row
from pipeline.pipelines.modelled import OneModel
from pipeline.pipelines.schemas import ARTIFACTS, integer, model_name, number, params_schema
from pipeline.pipelines.timeline import SAMPLED_FIELDS, Curve, Sampled
from pipeline.spec import PipelineSpec

SUMMARY_FIELDS = {
    **SAMPLED_FIELDS,
    "objects": "Objects found, summed over all frames (the same thing counts once per frame).",
    "labels": "Per label: frames it is in, max at once, mean per frame, first_seconds, last_seconds, and of the find "
    "with the highest score: best_score, best_index (of its frame), best_seconds, best_box.",
    "counts_over_time": "bin_seconds, and points: seconds and counts (most at once, by label); at most 600.",
}


class Detect(OneModel):
    """Run a detector on every sampled frame; frames are independent, so no lead-in is needed."""

    spec = PipelineSpec(
        name="detect",
        description="Objects with label, score, box (a segmenter tells outline and area too), and counts over time.",
        accepts=("image", "video"),
        params_schema=params_schema(
            model=model_name(
                "fastestdet", "Detector: fastestdet (80 everyday things), yunet (faces), or one of your own."
            ),
            min_score=number(None, 0.0, 1.0, "Objects under this score are left out; null: as the model's card says."),
            max_objects=integer(100, 1, 1000, "At most this many objects per frame, best first."),
            artifacts=ARTIFACTS,
        ),
        lane="cpu",
        summary_fields=SUMMARY_FIELDS,
        models={"model": ("detect", "segment")},
    )

    def observe(self, state: Any, frame: Frame, inferred: Any, params: Params) -> Row:
        """Return the frame's objects in source pixels and their count by label."""
        objects = [_in_source(one, frame.scale) for one in inferred[: params["max_objects"]]]
        counts = Counter(one["label"] for one in objects)
        return {"objects": objects, "counts": dict(sorted(counts.items()))}

    def summarize(self, rows: Iterable[Row], media: MediaInfo, params: Params) -> dict[str, Any]:
        """Return the job's summary; see ``spec.summary_fields``."""
        sampled, curve = Sampled(), Curve()
        labels: dict[str, dict[str, Any]] = {}
        for row in rows:
            seconds = row["pts_seconds"]
            sampled.add(row)
            curve.add(seconds, row["counts"])
            for name, count in row["counts"].items():
                _note(labels, name, count, seconds)
            for one in row["objects"]:
                entry = labels[one["label"]]
                if one["score"] > entry["best_score"]:
                    best = {"score": one["score"], "index": row["index"], "seconds": seconds, "box": one["box"]}
                    entry.update({f"best_{name}": value for name, value in best.items()})
        return {
            **sampled.told(media),
            "objects": sum(entry["total"] for entry in labels.values()),
            "labels": {name: _told(labels[name], sampled.frames) for name in sorted(labels)},
            "counts_over_time": {
                "bin_seconds": curve.bin_seconds,
                "points": [{"seconds": at, "counts": peaks} for at, _, peaks in curve.points()],
            },
        }

    def marks(self, row: Row, params: Params) -> Sequence[Mark]:
        """Return the frame's objects: boxes with label and score, outlines and keypoints where the model tells any."""
        found = []
        for one in row["objects"]:
            for ring in one.get("polygon", ()):
                found.append(Mark("polygon", tuple((x, y) for x, y in ring), group=one["label"]))
            found.append(box_mark(one["box"], f"{one['label']} {one['score']:.0%}", one["label"]))
            if one.get("keypoints"):
                found.append(Mark("points", tuple((x, y) for x, y in one["keypoints"]), group=one["label"]))
        return found

    def moments(self, summary: Mapping[str, Any], params: Params) -> Sequence[Moment]:
        """Return the best find of each label, best first."""
        labels = sorted(summary["labels"].items(), key=lambda item: (-item[1]["best_score"], item[0]))
        return [
            Moment(
                one["best_index"],
                f"{name} {one['best_score']:.0%} at second {one['best_seconds']:.3f}",
                tuple(one["best_box"]),
            )
            for name, one in labels
        ]


def _in_source(one: dict[str, Any], scale: float) -> dict[str, Any]:
    """Return a finding with box and keypoints taken from frame to source pixels."""
    moved = {**one, "box": [round(value / scale, 1) for value in one["box"]]}
    if "keypoints" in one:
        moved["keypoints"] = [[round(value / scale, 1) for value in point] for point in one["keypoints"]]
    if "polygon" in one:
        moved["area"] = round(one["area"] / scale**2, 1)
        moved["polygon"] = [[[round(value / scale, 1) for value in point] for point in ring] for ring in one["polygon"]]
    return moved


def _note(labels: dict[str, dict[str, Any]], name: str, count: int, seconds: float) -> None:
    entry = labels.setdefault(
        name, {"frames": 0, "total": 0, "max": 0, "best_score": -1.0, "first_seconds": seconds, "last_seconds": seconds}
    )
    entry["frames"] += 1
    entry["total"] += count
    entry["max"] = max(entry["max"], count)
    entry["last_seconds"] = seconds


def _told(entry: dict[str, Any], frames: int) -> dict[str, Any]:
    return {
        "frames": entry["frames"],
        "max": entry["max"],
        "mean": round(entry["total"] / frames, 4),
        **{name: entry[name] for name in ("best_score", "best_index", "best_seconds", "best_box")},
        "first_seconds": entry["first_seconds"],
        "last_seconds": entry["last_seconds"],
    }
