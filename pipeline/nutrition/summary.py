"""From all rows of an input to what was on the table, what it weighs and what that holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.nutrition.amount import Amount
from pipeline.nutrition.counting import Scene, Thing
from pipeline.nutrition.eating import Window, compared, extents_of, windows_of, with_food
from pipeline.nutrition.foods import NUTRIENTS, PLATES, Food, find_food
from pipeline.nutrition.portion import Scale, grams_by_area, nutrients, scale_of
from pipeline.nutrition.scenes import Cuts
from pipeline.pipelines.base import Params, Row

#: scenes told in the summary
TOLD_SCENES = 100
NOTHING = Amount.exactly(0.0)


@dataclass(frozen=True, slots=True)
class Counted:
    """How many of one food the scene showed that showed most of it, and the things it counted there."""

    count: Amount
    things: Sequence[Thing]


class Meal:
    """Rows in time order in, the summary's parts out; memory does not grow with the video but for one scene's things.

    Scenes of fewer frames than are needed to count are passed over where there are longer ones.
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        self._scale = scale_of(params["plate_diameter_cm"])
        self._cuts = Cuts()
        self._scene, self._window = Scene(), Window()
        self._span: list[float] = []
        self._longest = 0
        self._frames = 0
        self._compares = params["compare"] != "none"
        self._counted: dict[str, Counted] = {}
        self._others: dict[tuple[str, str], int] = {}
        self._first: Window | None = None
        self._last: Window | None = None
        self.scenes: list[dict[str, Any]] = []
        self.truncated = False
        self._masked = False

    def add(self, row: Row) -> None:
        """Take in the next row."""
        if self._cuts.step(row["look"]):
            self.cut()
        self._frames += 1
        self._span = [*self._span[:1], row["pts_seconds"]]
        self._scene.add(row)
        self._window.add(extents_of(row, by_plate=self._params["compare"] == "before_after_by_plate"))
        self._masked = self._masked or any(one["masked"] for one in row["items"])

    def finish(self) -> dict[str, Any]:
        """End the last scene and return items, totals, unknown, containers, scale, scenes, eaten and warnings."""
        self.cut()
        weighed = {label: _weighed(label, counted, self._scale) for label, counted in sorted(self._counted.items())}
        items = [told for told, _ in weighed.values()]
        grams = {label: weight for label, (_, weight) in weighed.items()}
        return {
            "items": items,
            "totals": _totals(grams),
            "unknown": self._unknown(),
            "containers": self._told_others("containers"),
            "scale": {"plate_cm": self._scale.plate_cm.told(), "given": self._scale.given},
            "scenes": self.scenes,
            "eaten": self._eaten(grams) if self._compares and self._frames > 1 else None,
            "warnings": self._warnings(items),
        }

    def cut(self) -> None:
        """Take what the scene showed into account and begin a new one; nothing where none has begun."""
        scene, window, span = self._scene, self._window, self._span
        self._scene, self._window, self._span = Scene(), Window(), []
        if not scene.frames:
            return
        if len(self.scenes) < TOLD_SCENES:
            first, last = (round(span[place], 3) for place in (0, -1))
            self.scenes.append({"from_seconds": first, "to_seconds": last, "frames": scene.frames})
        if scene.steady < self._longest:
            return
        if scene.steady > self._longest:  # flicker of one frame must not outvote what was seen steadily
            self._longest, self._first = scene.steady, None
            self._counted.clear()
            self._others.clear()
        self._first, self._last = self._first or window, window
        self.truncated = self.truncated or scene.truncated
        for label, things in scene.things().items():
            count = scene.count(label, things)
            known = self._counted.get(label)
            if known is None or count.value > known.count.value:
                self._counted[label] = Counted(count, things)
        for kind in ("containers", "unknown", "unnamed"):
            for label in scene.labels(kind):
                most = max(self._others.get((kind, label), 0), scene.at_once(kind, label))
                self._others[kind, label] = most

    def _told_others(self, kind: str) -> list[dict[str, Any]]:
        return [
            {"label": label, "count": count}
            for (found, label), count in sorted(self._others.items())
            if found == kind and count
        ]

    def _unknown(self) -> list[dict[str, Any]]:
        named = [{**one, "why": "no row of the facts table"} for one in self._told_others("unknown")]
        held = [
            {"label": f"content of {one['label']}", "count": one["count"], "why": "the model names no food in it"}
            for one in self._told_others("unnamed")
        ]
        return named + held

    def _eaten(self, grams: Mapping[str, Amount]) -> dict[str, Any]:
        scenes = [one for one in (self._first, self._last) if one is not None]
        before, after = windows_of(scenes[:1] if self._first is self._last else scenes)
        foods = [with_food(share, grams.get(share["label"])) for share in compared(before, after, masked=self._masked)]
        return {"items": foods, "totals": _summed(foods)}

    def _warnings(self, items: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
        found = {}
        if not items:
            found["nutrition.no_food"] = "No food that the model and the facts table know was seen."
        if self._others and self._unknown():
            found["nutrition.unknown_food"] = "Food that nobody can name here is not in the totals; see unknown."
        plates = any(label in PLATES for kind, label in self._others if kind == "containers")
        if (self._scale.given or self._params["compare"] == "before_after_by_plate") and not plates:
            found["nutrition.no_plate"] = "No plate was seen that areas could be measured by."
        if any(item["portion"]["by"] == "serving" for item in items):
            found["nutrition.usual_serving"] = "Some portions are a usual serving: nothing told their size."
        if self._compares and self._frames < 2:
            found["nutrition.nothing_to_compare"] = "There is one picture only: nothing tells what was eaten."
        elif self._compares and not self._masked:
            found["nutrition.boxes_not_masks"] = "Eaten shares come from boxes, not masks, and are rough."
        if self.truncated:
            found["nutrition.too_many_items"] = "More than 1,000 things in one scene: those seen least are not counted."
        return [{"code": code, "message": message} for code, message in found.items()]


def _weighed(label: str, counted: Counted, scale: Scale) -> tuple[dict[str, Any], Amount]:
    """Return one item of the summary, and its grams as they are before they are rounded."""
    food = find_food(label)
    assert food is not None  # rows hold labels of the table only
    pieces = _pieces(food, counted)
    by, grams = _grams(food, counted, pieces, scale)
    best = max((thing.best for thing in counted.things), key=lambda one: (one["score"], -one["index"], one["box"]))
    frames = sum(thing.frames for thing in counted.things)
    told = {
        "label": label,
        "count": pieces.told(),
        "grams": grams.told(),
        **{name: amount.told() for name, amount in nutrients(food, grams).items()},
        "source": {"ndb_no": food.ndb_no, "name": food.usda_name, "note": food.note, "per_100g": dict(food.per_100g)},
        "portion": {
            "by": by,
            "measure": food.measure,
            "measure_grams": food.grams.told(),
            "weight_source": food.weight_source,
        },
        "confidence": round(sum(thing.scores[label] for thing in counted.things) / frames, 4),
        "best": best,
    }
    if food.bunch is not None:
        told["bunches"] = sum(1 for thing in counted.things if _boxes(thing) > 1)
    return told, grams


def _boxes(thing: Thing) -> int:
    """Return how many touching boxes a thing usually was."""
    return min(thing.bunch, key=lambda size: (-thing.bunch[size], size))


def _pieces(food: Food, counted: Counted) -> Amount:
    """Return how many pieces there are: things, or what hangs together in a bunch of them."""
    if food.bunch is None:
        return counted.count
    pieces = NOTHING
    for thing in counted.things:
        boxes = _boxes(thing)
        several = Amount(*(max(boxes, size) for size in food.bunch))
        pieces = pieces.plus(several if boxes > 1 else Amount(1, 1, food.bunch.value))
    return pieces.times(_doubt(counted))


def _doubt(counted: Counted) -> Amount:
    """Return the count's bounds as shares of its value."""
    return Amount(*(bound / counted.count.value for bound in counted.count))


def _grams(food: Food, counted: Counted, pieces: Amount, scale: Scale) -> tuple[str, Amount]:
    """Return how the weight was found, and the weight.

    Areas are used where they tell more than a usual weight does: with a plate of known size, and for a heap's mask
    with a plate of usual size.
    """
    areas = [area for area in (thing.areas.middle() for thing in counted.things) if area is not None]
    masked = counted.things[0].masked
    useful = scale.given or (masked and not food.counted)
    if food.shape == "liquid" or not areas or not useful:
        return ("item_weight" if food.counted else "serving"), pieces.times(food.grams)
    total = NOTHING
    for area in areas:
        total = total.plus(grams_by_area(food, area, scale, masked=masked))
    share = len(counted.things) / len(areas)
    return "area", total.times(share).times(_doubt(counted))


def _totals(grams: Mapping[str, Amount]) -> dict[str, Any]:
    totals = {"grams": NOTHING, **dict.fromkeys(NUTRIENTS, NOTHING)}
    for label, weight in grams.items():
        food = find_food(label)
        assert food is not None  # as above
        totals["grams"] = totals["grams"].plus(weight)
        for name, amount in nutrients(food, weight).items():
            totals[name] = totals[name].plus(amount)
    return {name: amount.told() for name, amount in totals.items()}


def _summed(foods: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sums of what was told of each food."""
    totals = {}
    for name in ("grams", *NUTRIENTS):
        total = NOTHING
        for food in foods:
            if name in food:
                total = total.plus(Amount(food[name]["low"], food[name]["value"], food[name]["high"]))
        totals[name] = total.told()
    return totals
