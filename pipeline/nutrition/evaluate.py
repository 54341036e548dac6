"""What ``nutrition`` gives on the test data: fruit, meal clips, and what was eaten from the trays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.cage import Cage
from pipeline.evaluating import Figure, Report, Table
from pipeline.models.base import ModelShelf
from pipeline.nutrition.tray_evaluation import Case, figures, masks_shelf, photo_cases, shares, table
from pipeline.nutrition.tray_truth import NAME, food_ids, mask, true_shares
from pipeline.pipelines.nutrition import Nutrition
from pipeline.whole import summary_of

MASKED = {"detector": NAME}
COMPARED = {"compare": "before_after"}
#: what FastestDet is asked on, and what is there: the manifest's word, for the conveyor counted by eye
CLIPS: Sequence[tuple[str, Mapping[str, Any], str]] = (
    ("meal_tray1_before_after.mp4", {}, "pasta with pesto, pork cutlet, beans, bread; 2 plates, 1 cup"),
    ("meal_tray4_zoom.mp4", {}, "salad, pilaw rice, basil potatoes, bread, fish cutlet; 2 plates, 1 bowl"),
    ("fruit_vegetable.gif", {"sampler": {"stride": 2}}, "1 apple, 1 broccoli, 1 cauliflower, 1 orange"),
    ("cups.mp4", {}, "3 cups"),
    ("coffee_pour.mp4", {}, "coffee, 1 cup"),
)
#: clips made of tray photos: the tray and the photo they end with
TRAY_CLIPS = (("meal_tray1_before_after.mp4", "tray1", "leftover2"), ("meal_tray4_zoom.mp4", "tray4", "leftover1"))


def evaluate(data: Path, shelf: ModelShelf) -> Report:
    """Return the report; ``data`` is the folder of test data. Raises: PipelineError."""
    fruit = evaluated(data / "images" / "food" / "fruit.jpg", {}, shelf)
    clips = [(clip, evaluated(data / "videos" / clip, given, shelf), truth) for clip, given, truth in CLIPS]
    with masks_shelf(data, shelf) as beside:
        trays = [
            (name, tray, evaluated(data / "videos" / name, MASKED | COMPARED, beside)) for name, tray, _ in TRAY_CLIPS
        ]
    cases = [*_clip_cases(data, trays), *photo_cases(data, shelf)]
    return Report(
        "nutrition",
        [*_fruit_figures(fruit), *figures(cases), _once_figure(data, trays)],
        [
            _items_table("fruit.jpg, FastestDet", fruit),
            _clips_table(clips),
            _once_table(data, trays),
            table(cases),
        ],
        notes=(
            "FastestDet with the pipeline's own min_score of 0.6, frames at most 640 wide, every fifth frame (of the "
            "conveyor every second).",
            f"{NAME}: a card of task segment whose network finds which tray photo a frame shows and lays that photo's "
            "mask on it; its findings reach the pipeline as any segmenter's do. True shares come from the masks at "
            "full size: 1 - pixels after / pixels before, at least 0. No weighed meals are in the test data.",
            "meal_tray4_zoom.mp4 zooms, so its areas grow; it is told and not held to the bar, nor is comparing by the "
            "plates that FastestDet sees: its boxes of plates are up to a quarter off.",
            "Outlines that are off show how good a segmenter must be; the masks themselves are held to the bar.",
            "Nothing is random.",
        ),
    )


def evaluated(path: Path, given: Mapping[str, Any], shelf: ModelShelf) -> dict[str, Any]:
    """Return the summary of one file, run as a worker would run it. Raises: PipelineError."""
    with Cage() as cage:
        return summary_of(Nutrition(), path, given, cage=cage, shelf=shelf)


def _clip_cases(data: Path, trays: Sequence[tuple[str, str, Mapping[str, Any]]]) -> list[Case]:
    return [
        Case(
            "clip that zooms" if "zoom" in name else "clip",
            name,
            "zoom" not in name,
            true_shares(data, tray, after),
            shares(found),
        )
        for (name, tray, after), (_, _, found) in zip(TRAY_CLIPS, trays, strict=True)
    ]


def _fruit_figures(found: Mapping[str, Any]) -> list[Figure]:
    items = {one["label"]: one for one in found["items"]}
    apples = items["apple"]["count"]["value"] if "apple" in items else 0
    oranges = items["orange"]["count"]["value"] if "orange" in items else 0
    bunches = items["banana"].get("bunches", 0) if "banana" in items else 0
    others = [label for label in items if label not in ("apple", "orange", "banana")]
    return [
        Figure("fruit.jpg: apples, of 4", apples, 3, higher_is_better=True),
        Figure("fruit.jpg: apples told that are not there", max(0, apples - 4), 0),
        Figure("fruit.jpg: oranges off from 1", abs(oranges - 1), 0),
        Figure("fruit.jpg: bunches of bananas off from 1", abs(bunches - 1), 0),
        Figure("fruit.jpg: other food told", len(others), 0),
    ]


def _once_figure(data: Path, trays: Sequence[tuple[str, str, Mapping[str, Any]]]) -> Figure:
    wrong = sum(not right for _, tray, found in trays for *_, right in _counts(data, tray, found))
    return Figure("meal clips with masks: foods not counted exactly once", wrong, 0)


def _counts(data: Path, tray: str, found: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """Return each food of a tray or of the summary, how it was counted, and whether that is once and rightly."""
    numbers = {int(number) for number in set(mask(data, tray, "food_image").flat)} - {0}
    there = {food_ids(data)[number] for number in numbers}
    told = {one["label"]: one["count"] for one in found["items"]}
    return [
        (label, _range(told[label]) if label in told else "0", label in there and told.get(label, {}).get("value") == 1)
        for label in sorted(there | set(told))
    ]


def _items_table(title: str, found: Mapping[str, Any]) -> Table:
    rows = [
        (
            one["label"],
            _range(one["count"]),
            _range(one["grams"]),
            _range(one["kcal"]),
            f"{one['source']['ndb_no']} {one['source']['name']}",
            f"{one['portion']['by']}, {one['portion']['weight_source']}",
        )
        for one in found["items"]
    ]
    rows.append(("total", "", _range(found["totals"]["grams"]), _range(found["totals"]["kcal"]), "", ""))
    return Table(title, ("food", "count", "grams", "kcal", "USDA row", "portion by"), rows)


def _clips_table(clips: Sequence[tuple[str, Mapping[str, Any], str]]) -> Table:
    rows = []
    for name, found, truth in clips:
        items = ", ".join(f"{one['label']} {_range(one['count'])}" for one in found["items"]) or "none"
        others = ", ".join(f"{one['label']} {one['count']}" for one in found["containers"]) or "none"
        unknown = ", ".join(f"{one['label']} {one['count']}" for one in found["unknown"]) or "none"
        rows.append((name, truth, items, unknown, others))
    return Table("Clips, FastestDet", ("clip", "what is there", "items", "unknown", "containers"), rows)


def _once_table(data: Path, trays: Sequence[tuple[str, str, Mapping[str, Any]]]) -> Table:
    rows = [
        (name, label, count, "yes" if right else "no", _grams(found, label))
        for name, tray, found in trays
        for label, count, right in _counts(data, tray, found)
    ]
    return Table("Meal clips with masks: each food once", ("clip", "food", "count", "once", "grams"), rows)


def _grams(found: Mapping[str, Any], label: str) -> str:
    told = [one for one in found["items"] if one["label"] == label]
    return f"{_range(told[0]['grams'])} by {told[0]['portion']['by']}" if told else ""


def _range(amount: Mapping[str, float]) -> str:
    low, value, high = (f"{amount[name]:.0f}" for name in ("low", "value", "high"))
    return value if low == high else f"{value} ({low}-{high})"
