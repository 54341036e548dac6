"""What one frame shows: food, containers and food we do not know, in source pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.nutrition.foods import PLATES, Food, container_of, find_food, is_food_or_unknown
from pipeline.pipelines.base import Row

#: cells of the coarse picture by which cuts are found
LOOK_COLUMNS, LOOK_ROWS = 8, 6
#: boxes of one bunch may lie this far apart, as a share of the smaller one's shorter side
TOUCHING = 0.1

Finding = Mapping[str, Any]


def sighting(image: NDArray[np.uint8], findings: Sequence[Finding], names: Mapping[str, str], scale: float) -> Row:
    """Return the row of one frame: items, containers, unknown and look.

    image: uint8, (h, w, 3), RGB. findings: of detectors and segmenters, in pixels of ``image``. names: what a model's
    label means, where it is not the name of the food. scale: image width / source width.
    """
    items: list[dict[str, Any]] = []
    row: Row = {"items": items, "containers": [], "unknown": []}
    for one in findings:
        label = names.get(one["label"], one["label"])
        found = _in_source(one, label, scale)
        food, container = find_food(label), container_of(label)
        if food is not None:
            items.append({**found, "label": food.label, **_extent(one, scale)})
        elif container is not None:
            row["containers"].append({**found, "label": container})
        elif is_food_or_unknown(label):
            row["unknown"].append(found)
    row["items"] = _bunched(_heaped(items))
    _mark_unnamed_content(row)
    row["look"] = look_of(image)
    return row


def look_of(image: NDArray[np.uint8]) -> list[int]:
    """Return the mean grey of 8 x 6 cells, row by row: what a frame looks like from afar."""
    small = cv2.resize(image, (LOOK_COLUMNS, LOOK_ROWS), interpolation=cv2.INTER_AREA)
    return [int(value) for value in cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).reshape(-1)]


def plate_side(row: Row) -> float | None:
    """Return the long side of the largest plate or bowl of a row in source pixels, None where there is none."""
    return max((max(one["box"][2:]) for one in row["containers"] if one["label"] in PLATES), default=None)


def _in_source(one: Finding, label: str, scale: float) -> dict[str, Any]:
    return {"label": label, "score": one["score"], "box": [round(value / scale, 1) for value in one["box"]]}


def _extent(one: Finding, scale: float) -> dict[str, Any]:
    """Return the area in source pixels: of the mask where the model gives one, else of the box."""
    if "area" not in one:
        return {"area": round(one["box"][2] * one["box"][3] / scale**2, 1), "masked": False}
    extent: dict[str, Any] = {"area": round(one["area"] / scale**2, 1), "masked": True}
    if one.get("polygon"):
        extent["polygon"] = [[[round(x / scale, 1), round(y / scale, 1)] for x, y in ring] for ring in one["polygon"]]
    return extent


def _heaped(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the masked parts of each food that is not counted together: one heap of rice, in however many parts."""
    heaps: dict[str, dict[str, Any]] = {}
    rest = []
    for item in items:
        if _food(item).counted or not item["masked"]:
            rest.append(item)
        elif item["label"] in heaps:
            heaps[item["label"]] = _joined(heaps[item["label"]], item)
        else:
            heaps[item["label"]] = item
    return [*heaps.values(), *rest]


def _bunched(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put touching boxes of a food that grows in bunches together; ``bunch`` tells how many boxes there were."""
    done: list[dict[str, Any]] = []
    for item in items:
        if _food(item).bunch is None:
            done.append(item)
            continue
        joined = {**item, "bunch": 1}
        for other in [one for one in done if one["label"] == item["label"] and _touch(one["box"], item["box"])]:
            done.remove(other)
            joined = {**_joined(other, joined), "bunch": other["bunch"] + joined["bunch"]}
        done.append(joined)
    return done


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return two parts of one thing as one; boxes overlap, so an unmasked area is that of the box around both."""
    left, top = (min(one["box"][axis], other["box"][axis]) for axis in (0, 1))
    right, low = (max(part["box"][axis] + part["box"][axis + 2] for part in (one, other)) for axis in (0, 1))
    box = [left, top, round(right - left, 1), round(low - top, 1)]
    area = one["area"] + other["area"] if one["masked"] else box[2] * box[3]
    found = {**one, "score": max(one["score"], other["score"]), "box": box, "area": round(area, 1)}
    if "polygon" in one:
        found["polygon"] = one["polygon"] + other.get("polygon", [])
    return found


def _touch(one: Sequence[float], other: Sequence[float]) -> bool:
    slack = TOUCHING * min(*one[2:], *other[2:])
    return all(
        one[axis] <= other[axis] + other[axis + 2] + slack and other[axis] <= one[axis] + one[axis + 2] + slack
        for axis in (0, 1)
    )


def _mark_unnamed_content(row: Row) -> None:
    """Say of each plate and bowl whether any food was named in it."""
    for container in row["containers"]:
        if container["label"] in PLATES:
            x, y, width, height = container["box"]
            middles = [(one["box"][0] + one["box"][2] / 2, one["box"][1] + one["box"][3] / 2) for one in row["items"]]
            container["named"] = any(x <= a <= x + width and y <= b <= y + height for a, b in middles)


def _food(item: Mapping[str, Any]) -> Food:
    food = find_food(item["label"])
    assert food is not None  # items hold labels of the table only
    return food
