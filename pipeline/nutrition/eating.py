"""What was eaten: areas or pieces of each food before and after."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from statistics import median
from typing import Any

from pipeline.nutrition.amount import Amount
from pipeline.nutrition.foods import find_food
from pipeline.nutrition.portion import MASK_AREA, nutrients
from pipeline.nutrition.sighting import plate_side
from pipeline.pipelines.base import Row

#: frames looked at on either side
WINDOW = 10
#: how far a box's area may be from the food's: a box around half a plate of rice is not half a box
BOX_TOLERANCE = Amount(0.75, 1.0, 1.25)

#: how much of each label one frame shows: (label, unit) -> pieces, pixels or squares of the plate's side
Extents = dict[tuple[str, str], float]


@dataclass(slots=True)
class Window:
    """The first and the last frames of a scene, as far as comparing needs them."""

    head: list[Extents] = field(default_factory=list)
    tail: deque[Extents] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def add(self, extents: Extents) -> None:
        """Take in the next frame."""
        if len(self.head) < WINDOW:
            self.head.append(extents)
        self.tail.append(extents)


def extents_of(row: Row, *, by_plate: bool) -> Extents:
    """Return how much of each food a row shows: pieces where boxes count them, else the summed area.

    by_plate: areas are in squares of the plate's long side, so that a camera that came nearer changes nothing; a frame
    that shows no plate then shows no areas. Else they are in pixels.
    """
    plate = plate_side(row)
    found: Extents = {}
    for item in row["items"]:
        food = find_food(item["label"])
        if food is not None and food.counted and not item["masked"]:
            unit, extent = "pieces", 1.0
        else:
            if by_plate and not plate:
                continue
            unit, extent = ("plates", item["area"] / plate**2) if by_plate and plate else ("pixels", item["area"])
        key = (item["label"], unit)
        found[key] = found.get(key, 0.0) + extent
    return found


def compared(before: Sequence[Extents], after: Sequence[Extents], *, masked: bool) -> list[dict[str, Any]]:
    """Return each food of ``before`` with its extents and eaten_share: 1 - after / before, by medians over frames.

    What is there only after was not eaten and is left out. low and high: if before was shown too large and after too
    small, or the other way round, by what a mask or a box may be off.
    """
    tolerance = MASK_AREA if masked else BOX_TOLERANCE
    told = []
    for label, unit in sorted({key for frame in before for key in frame}):
        first = median(frame.get((label, unit), 0.0) for frame in before)
        last = median(frame.get((label, unit), 0.0) for frame in after) if after else 0.0
        if first <= 0:
            continue
        left = Amount.exactly(last / first)
        if unit != "pieces":
            left = left.times(Amount(tolerance.low / tolerance.high, 1.0, tolerance.high / tolerance.low))
        share = Amount(*(min(1.0, max(0.0, 1 - part)) for part in (left.high, left.value, left.low)))
        told.append(
            {"label": label, "unit": unit, "before": round(first, 4), "after": round(last, 4), "eaten_share": share}
        )
    return told


def windows_of(scenes: Sequence[Window]) -> tuple[list[Extents], list[Extents]]:
    """Return the frames before and after: the first of the first scene, the last of the last; never the same ones."""
    if not scenes:
        return [], []
    before, after = scenes[0].head, list(scenes[-1].tail)
    if len(scenes) == 1:
        half = max(1, len({id(one) for one in [*before, *after]}) // 2)
        before, after = before[:half], list(islice(after, max(0, len(after) - half), None))
    return before, after


def with_food(share: Mapping[str, Any], grams: Amount | None) -> dict[str, Any]:
    """Return one food's share as JSON data, with the grams and nutrients that it makes of what was there before."""
    eaten: Amount = share["eaten_share"]
    told = {**share, "eaten_share": eaten.told(3)}
    food = find_food(share["label"])
    if grams is not None and food is not None:
        weight = grams.times(eaten)
        told["grams"] = weight.told()
        told |= {name: amount.told() for name, amount in nutrients(food, weight).items()}
    return told
