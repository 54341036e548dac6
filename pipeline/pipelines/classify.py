"""Classify: the best labels of each frame, by any classifier on the shelf."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.frame import Frame
from pipeline.marks import Mark, Moment
from pipeline.media import MediaInfo
from pipeline.pipelines.base import Params, Row
from pipeline.pipelines.modelled import OneModel
from pipeline.pipelines.schemas import ARTIFACTS, MODEL_NAME_PATTERN, integer, number, params_schema
from pipeline.pipelines.timeline import SAMPLED_FIELDS, Sampled, Stretches
from pipeline.spec import PipelineSpec

#: labels told in the summary
TOLD_LABELS = 20

#: labels written on a picture
MARKED_LABELS = 3

SUMMARY_FIELDS = {
    **SAMPLED_FIELDS,
    "label": "The label with the highest mean score, null where none reached min_score.",
    "score": "Its mean score over all frames (a frame that does not name it counts 0).",
    "labels": "The 20 best: label, mean_score, frames (in which it is named), seconds (in which it leads), and of the "
    "frame with its highest score: best_score, best_index, best_seconds.",
    "timeline": "Stretches with the same leading label: from_seconds, to_seconds, label; at most 1,000.",
    "truncated": "Names of the lists above that hold only their first entries.",
}


class Classify(OneModel):
    """Run a classifier on every sampled frame; frames are independent, so no lead-in is needed."""

    spec = PipelineSpec(
        name="classify",
        description="The best labels of each picture and how they change over time; any classifier of the model shelf.",
        accepts=("image", "video"),
        params_schema={
            **params_schema(
                model={
                    "type": "string",
                    "pattern": MODEL_NAME_PATTERN,
                    "description": "Classifier of the model shelf; there is no default.",
                },
                top_k=integer(5, 1, 100, "At most this many labels per frame, best first."),
                min_score=number(
                    0.0,
                    0.0,
                    1.0,
                    "Labels under this score are left out; null: as the model's card says.",
                    nullable=True,
                ),
                artifacts=ARTIFACTS,
            ),
            "required": ["model"],
        },
        lane="cpu",
        summary_fields=SUMMARY_FIELDS,
        models={"model": ("classify",)},
    )

    def observe(self, state: Any, frame: Frame, inferred: Any, params: Params) -> Row:
        """Return the frame's labels, best first."""
        return {"labels": inferred[: params["top_k"]]}

    def summarize(self, rows: Iterable[Row], media: MediaInfo, params: Params) -> dict[str, Any]:
        """Return the job's summary; see ``spec.summary_fields``."""
        sampled, leading = Sampled(), Stretches()
        labels: dict[str, dict[str, Any]] = {}
        for row in rows:
            seconds = row["pts_seconds"]
            sampled.add(row)
            leading.add(seconds, row["labels"][0]["label"] if row["labels"] else None)
            for one in row["labels"]:
                entry = labels.setdefault(one["label"], {"total": 0.0, "best": (-1.0, 0, 0.0), "frames": 0})
                entry["total"] += one["score"]
                if one["score"] > entry["best"][0]:
                    entry["best"] = (one["score"], row["index"], seconds)
                entry["frames"] += 1
        timeline = leading.finish(sampled.end_within(media.duration_seconds))
        ranked = sorted(labels, key=lambda name: (-labels[name]["total"], name))
        told = [_told(name, labels[name], sampled.frames, leading) for name in ranked[:TOLD_LABELS]]
        truncated = {"timeline": leading.truncated, "labels": len(ranked) > TOLD_LABELS}
        return {
            **sampled.told(media),
            "label": told[0]["label"] if told else None,
            "score": told[0]["mean_score"] if told else None,
            "labels": told,
            "timeline": [
                {"from_seconds": one["from_seconds"], "to_seconds": one["to_seconds"], "label": one["value"]}
                for one in timeline
            ],
            "truncated": sorted(name for name, cut in truncated.items() if cut),
        }

    def marks(self, row: Row, params: Params) -> Sequence[Mark]:
        """Return the frame's best labels as lines of text in its corner."""
        best = row["labels"][:MARKED_LABELS]
        return [Mark("text", ((0.0, 0.0),), f"{one['label']} {one['score']:.0%}", one["label"]) for one in best]

    def moments(self, summary: Mapping[str, Any], params: Params) -> Sequence[Moment]:
        """Return the best frame of each label that leads somewhere, and of the best label in any case."""
        return [
            Moment(one["best_index"], f"{one['label']} {one['best_score']:.0%} at second {one['best_seconds']:.3f}")
            for one in summary["labels"]
            if one["seconds"] > 0 or one["label"] == summary["label"]
        ]


def _told(name: str, entry: dict[str, Any], frames: int, leading: Stretches) -> dict[str, Any]:
    return {
        "label": name,
        "mean_score": round(entry["total"] / frames, 4),
        **dict(zip(("best_score", "best_index", "best_seconds"), entry["best"], strict=True)),
        "frames": entry["frames"],
        "seconds": round(leading.seconds.get(name, 0.0), 3),
    }
