"""The foods we know: by what names, which row of USDA tells what they hold, and what one of them weighs."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from pipeline.nutrition.amount import Amount
from pipeline.nutrition.make_facts import FACTS, FOODS

NUTRIENTS = ("kcal", "protein_g", "fat_g", "carbs_g")
#: things of COCO and of trays that food lies in or is drunk from; what is in them a detector does not say
CONTAINERS = ("bowl", "plate", "dish", "cup", "wine glass", "bottle")
#: containers whose long side may be taken for a plate's diameter, and whose content is food that should have a name
PLATES = ("bowl", "plate", "dish")
#: the labels of COCO that are no food and hold none, in the spellings of the usual exports; any other label that has no
#: row in foods.csv is food we do not know
NOT_FOOD = frozenset(
    """person;bicycle;car;motorbike;motorcycle;aeroplane;airplane;bus;train;truck;boat;traffic light;fire hydrant;
    stop sign;parking meter;bench;bird;cat;dog;horse;sheep;cow;elephant;bear;zebra;giraffe;backpack;umbrella;handbag;
    tie;suitcase;frisbee;skis;snowboard;sports ball;kite;baseball bat;baseball glove;skateboard;surfboard;
    tennis racket;fork;knife;spoon;chair;sofa;couch;pottedplant;potted plant;bed;diningtable;dining table;toilet;
    tvmonitor;tv;laptop;mouse;remote;keyboard;cell phone;microwave;oven;toaster;sink;refrigerator;book;clock;vase;
    scissors;teddy bear;hair drier;toothbrush;tray;napkin;cutlery;background""".replace("\n    ", "").split(";")
)


@dataclass(frozen=True, slots=True)
class Food:
    """One line of foods.csv with its row of facts.csv.

    grams: of one ``measure``: an apple, a slice, a serving. weight_source: "usda" where the middle value is a household
    measure of USDA SR, "own" where it is our reading of a usual one. shape: ball, flat, loaf, heap or liquid. density:
    g/cm3 of what lies there, air between the pieces included. bunch: how many hang together where several are seen
    touching. per_100g: kcal, protein_g, fat_g, carbs_g.
    """

    label: str
    measure: str
    grams: Amount
    weight_source: str
    shape: str
    density: float
    bunch: Amount | None
    note: str
    ndb_no: str
    usda_name: str
    per_100g: Mapping[str, float]

    @property
    def counted(self) -> bool:
        """Whether it comes in pieces; what comes in heaps is measured by its area, not by how many parts are seen."""
        return self.measure != "serving"


def find_food(label: str) -> Food | None:
    """Return the food a model's label means, by name or other name, whatever its case; None when it is not known."""
    return _by_name().get(_folded(label))


def container_of(label: str) -> str | None:
    """Return the one of CONTAINERS that a model's label means, whatever its case; None for anything else."""
    folded = _folded(label)
    return folded if folded in CONTAINERS else None


def is_food_or_unknown(label: str) -> bool:
    """Whether what a model calls so may be food: everything but containers and the other things that COCO names."""
    return _folded(label) not in NOT_FOOD and container_of(label) is None


def all_foods() -> list[Food]:
    """Return every food of the table, by label."""
    by_label = {food.label: food for food in _by_name().values()}
    return [by_label[label] for label in sorted(by_label)]


def _folded(label: str) -> str:
    return label.strip().lower().replace("_", " ")


@cache
def _by_name() -> dict[str, Food]:
    with FACTS.open(encoding="utf-8", newline="") as lines:
        facts = {row["ndb_no"]: row for row in csv.DictReader(lines)}
    found = {}
    with FOODS.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            food = _food(row, facts[row["ndb_no"]])
            for name in (food.label, *filter(None, row["aliases"].split(";"))):
                found[name] = food
    return found


def _food(row: Mapping[str, str], fact: Mapping[str, str]) -> Food:
    bunch = [float(part) for part in row["bunch"].split("-") if part]
    return Food(
        label=row["label"],
        measure=row["measure"],
        grams=Amount(float(row["grams_low"]), float(row["grams"]), float(row["grams_high"])),
        weight_source=row["weight_source"],
        shape=row["shape"],
        density=float(row["density"]),
        bunch=Amount(*bunch) if bunch else None,
        note=row["note"],
        ndb_no=row["ndb_no"],
        usda_name=fact["name"],
        per_100g={name: float(fact[name]) for name in NUTRIENTS},
    )
