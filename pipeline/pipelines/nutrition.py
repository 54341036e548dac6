"""Nutrition: food on pictures and videos, how much of it, and what that holds, each number with its range."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.frame import Frame
from pipeline.marks import Mark, Moment, box_mark
from pipeline.media import MediaInfo
from pipeline.models.base import ModelShelf
from pipeline.nutrition.foods import container_of
from pipeline.nutrition.sighting import sighting
from pipeline.nutrition.summary import Meal
from pipeline.pipelines.base import Params, Row
from pipeline.pipelines.modelled import Modelled, findings_of
from pipeline.pipelines.schemas import ARTIFACTS, model_name, number, params_schema
from pipeline.pipelines.timeline import SAMPLED_FIELDS, Sampled
from pipeline.spec import PipelineSpec

#: above the card's own 0.55: on dishes it was not taught, FastestDet's wrong names mostly score under it
MIN_SCORE = 0.6
MAX_MOMENTS = 12

SUMMARY_FIELDS = {
    **SAMPLED_FIELDS,
    "items": "Per food: label, count, grams, kcal, protein_g, fat_g, carbs_g (each value, low, high), source (row of "
    "USDA SR, per_100g, note), portion (by: item_weight, area or serving), confidence (mean score), best (where it was "
    "seen best), bunches (of bananas).",
    "totals": "Sums over items: grams, kcal, protein_g, fat_g, carbs_g; low and high are sums of lows and highs.",
    "unknown": "Food that has no name or no row: label, count, why. It is not in the totals.",
    "containers": "Plates, bowls, cups: label and how many at once.",
    "scale": "plate_cm, the plate's diameter that areas are told in, and whether the job gave it.",
    "scenes": "Stretches between cuts: from_seconds, to_seconds, frames; the first 100.",
    "eaten": "With compare before_after: items (label, unit, before, after, eaten_share, grams, nutrients) and totals; "
    "else null.",
    "warnings": "code and message of what a reader of the numbers must know.",
    "disclaimer": "What these numbers are not.",
}
DISCLAIMER = "Estimated from pictures; not medical or dietary advice."


class Nutrition(Modelled):
    """Find food in every sampled frame; counting, weighing and comparing happen once, over all rows."""

    spec = PipelineSpec(
        name="nutrition",
        description="Food items, counted once, with grams, energy and macronutrients, each with its range and source.",
        accepts=("image", "video"),
        params_schema=params_schema(
            detector=model_name(
                "fastestdet", "Detector or segmenter that names food; masks make portions and eaten shares better."
            ),
            tableware=model_name(
                None, "Detector for plates, bowls and cups, where the first model does not name them."
            ),
            min_score=number(
                MIN_SCORE, 0.0, 1.0, "Findings under this score are left out; null: as the card says.", nullable=True
            ),
            plate_diameter_cm=number(
                None, 5.0, 60.0, "Diameter of the largest plate or bowl in view; gives the scale."
            ),
            names={
                "type": "object",
                "default": {},
                "maxProperties": 500,
                "additionalProperties": {"type": "string", "maxLength": 100},
                "description": 'What the model\'s labels mean, where they are not food names: {"6": "pork cutlet"}.',
            },
            compare={
                "enum": ["none", "before_after", "before_after_by_plate"],
                "default": "none",
                "description": "before_after: what was eaten between the first and the last scene, the camera staying "
                "where it is; by_plate: areas are measured by the plate in view, and it may come nearer.",
            },
            artifacts=ARTIFACTS,
        ),
        lane="cpu",
        summary_fields=SUMMARY_FIELDS,
        models={"detector": ("detect", "segment"), "tableware": ("detect",)},
    )

    def infer(self, frames: Sequence[Frame], params: Params, shelf: ModelShelf) -> Sequence[list[dict[str, Any]]]:
        """Return each frame's findings: the detector's, and of the tableware model the containers.

        Raises: DeviceOutOfMemory, ModelError, ModelUnavailable.
        """
        found = findings_of(shelf, params["detector"], frames, params["min_score"])
        if params["tableware"] is None:
            return found
        held = findings_of(shelf, params["tableware"], frames, params["min_score"])
        names = params["names"]

        def holds(one: Mapping[str, Any]) -> bool:
            return container_of(names.get(one["label"], one["label"])) is not None

        return [
            [*(one for one in food if not holds(one)), *filter(holds, ware)]
            for food, ware in zip(found, held, strict=True)
        ]

    def observe(self, state: Any, frame: Frame, inferred: Any, params: Params) -> Row:
        """Return what the frame shows in source pixels: items, containers, unknown, look."""
        return sighting(frame.image, inferred, params["names"], frame.scale)

    def summarize(self, rows: Iterable[Row], media: MediaInfo, params: Params) -> dict[str, Any]:
        """Return the job's summary; see ``spec.summary_fields``."""
        meal, sampled = Meal(params), Sampled()
        for row in rows:
            sampled.add(row)
            meal.add(row)
        return {**sampled.told(media), **meal.finish(), "disclaimer": DISCLAIMER}

    def marks(self, row: Row, params: Params) -> Sequence[Mark]:
        """Return a frame's boxes and outlines: food by its name, containers, and what is unknown."""
        found = []
        for item in row["items"]:
            rings = item.get("polygon", [])
            found += [Mark("polygon", tuple((x, y) for x, y in ring), group=item["label"]) for ring in rings]
            found.append(box_mark(item["box"], f"{item['label']} {item['score']:.2f}", item["label"]))
        found += [box_mark(one["box"], one["label"], "container") for one in row["containers"]]
        found += [box_mark(one["box"], f"unknown: {one['label']}", "unknown") for one in row["unknown"]]
        return found

    def moments(self, summary: dict[str, Any], params: Params) -> Sequence[Moment]:
        """Return where each food was seen best, the surest first."""
        ranked = sorted(summary["items"], key=lambda item: (-item["best"]["score"], item["label"]))
        return [
            Moment(item["best"]["index"], f"{item['label']} {item['best']['score']:.2f}", tuple(item["best"]["box"]))
            for item in ranked[:MAX_MOMENTS]
        ]
