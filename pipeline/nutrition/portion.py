"""From what is seen to grams: typical weights, or area, scale, shape and density; always with a range.

The model is explained, with sources, in docs/pipelines/nutrition.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt

from pipeline.nutrition.amount import Amount
from pipeline.nutrition.foods import Food

#: height of what lies on a plate, cm: our own priors, a finger's breadth to the height of a bread roll
HEIGHT_CM = {
    "flat": Amount(0.7, 1.5, 2.5),
    "heap": Amount(1.0, 2.0, 4.0),
    "loaf": Amount(2.5, 4.5, 7.0),
}
#: a ball's volume from its outline's area A is 4 / (3 sqrt(pi)) A^1.5; real ones are flatter or stand on end
BALL = Amount(0.75, 0.95, 1.1)
#: share of the true outline that a mask covers, and share of a box that what is in it covers (an ellipse: pi / 4)
MASK_AREA = Amount(0.9, 1.0, 1.1)
BOX_AREA = Amount(0.5, pi / 4, 1.0)
DENSITY_SPREAD = Amount(0.8, 1.0, 1.2)
#: side of plates and bowls where nobody tells it, cm: saucer-sized bowls to large dinner plates
PLATE_CM = Amount(16.0, 23.0, 29.0)
#: how well the long side of a box is the diameter of the plate in it
PLATE_BOX = Amount(0.93, 1.0, 1.05)


@dataclass(frozen=True, slots=True)
class Scale:
    """How long the plate is that areas are told in: cm; given by the user, or taken to be a usual one."""

    plate_cm: Amount
    given: bool


def scale_of(plate_diameter_cm: float | None) -> Scale:
    """Return the scale that a plate of this diameter gives, of a usual plate for None."""
    if plate_diameter_cm is None:
        return Scale(PLATE_CM, given=False)
    return Scale(PLATE_BOX.times(plate_diameter_cm), given=True)


def area_cm2(in_plates: float, scale: Scale, *, masked: bool) -> Amount:
    """Return the area of a food's outline in cm2.

    in_plates: area of its mask or box divided by the square of the plate's long side, both in pixels of one frame.
    """
    return scale.plate_cm.power(2).times(in_plates).times(MASK_AREA if masked else BOX_AREA)


def volume_cm3(food: Food, area: Amount) -> Amount:
    """Return the volume over an outline, by the food's shape: a ball, or a layer of the height usual for it."""
    if food.shape == "ball":
        return area.power(1.5).times(4 / (3 * sqrt(pi))).times(BALL)
    return area.times(HEIGHT_CM[food.shape])


def grams_by_area(food: Food, in_plates: float, scale: Scale, *, masked: bool) -> Amount:
    """Return the weight of what covers an area; see ``area_cm2``."""
    volume = volume_cm3(food, area_cm2(in_plates, scale, masked=masked))
    return volume.times(food.density).times(DENSITY_SPREAD)


def nutrients(food: Food, grams: Amount) -> dict[str, Amount]:
    """Return kcal, protein_g, fat_g and carbs_g of a weight, by the food's row of USDA SR, taken as exact."""
    return {name: grams.times(per / 100) for name, per in food.per_100g.items()}
