"""Flat coloured shapes, as on signs, diagrams and rendered pictures: circles, triangles, squares and rectangles."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.describe.colours import named
from pipeline.describe.vocabulary import COLOURS

#: the picture is looked at no larger than this on its long side, pixels
SIDE = 480
#: share of the picture a shape may take, from and to
AREA = (0.001, 0.5)
#: how much of its ideal outline a shape must fill
FIT = 0.9
#: nine in ten of its pixels differ from their median by no more than this, of 255, in any channel
FLAT = 12.0
#: how much of its outline's inside must be of its colour: there may be text on it, but a ring is no disc
FILLED = 0.7
#: a rectangle this little longer than high is a square
SQUARE = 1.15
MAX_SHAPES = 100


def shapes_of(image: NDArray[np.uint8]) -> list[dict[str, Any]]:
    """Return the flat shapes of a picture, largest first: label, score (how well it fits its outline), box, colour.

    image: uint8 RGB, (h, w, 3). Boxes are [x, y, width, height] in its pixels. What touches the picture's edge is
    background or cut off, and is left out.
    """
    scale = min(1.0, SIDE / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    terms = named(small)
    found = []
    for place in np.unique(terms):
        mask = (terms == place).astype(np.uint8)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        for outline in outlines:
            one = _shape(np.asarray(outline), small, mask)
            if one is not None:
                found.append({**one, "colour": COLOURS[int(place)]})
    for one in found:
        one["box"] = [round(value / scale, 2) for value in one["box"]]
    found.sort(key=lambda one: (-one["box"][2] * one["box"][3], one["box"]))
    return found[:MAX_SHAPES]


def _shape(outline: NDArray[np.int32], small: NDArray[np.uint8], mask: NDArray[np.uint8]) -> dict[str, Any] | None:
    """Return label, score and box of one outline, int32, (n, 1, 2), or None where it is no flat shape."""
    height, width = mask.shape
    x, y, across, down = cv2.boundingRect(outline)
    if not AREA[0] * width * height <= across * down <= AREA[1] * width * height or min(across, down) < 8:
        return None
    if x <= 0 or y <= 0 or x + across >= width or y + down >= height:
        return None
    inside = np.zeros((down, across), dtype=np.uint8)
    cv2.drawContours(inside, [outline - [x, y]], -1, 1, cv2.FILLED)
    own = (inside & mask[y : y + down, x : x + across]).astype(bool)
    if own.sum() < FILLED * inside.sum():
        return None
    core = cv2.erode(own.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    pixels = small[y : y + down, x : x + across][core]
    if len(pixels) < 16:
        return None
    away = np.abs(pixels - np.median(pixels, axis=0)).max(axis=1)
    if float(np.mean(away <= FLAT)) < 0.9:
        return None
    label, fit = _label(outline, float(inside.sum()))
    return {"label": label, "score": round(fit, 3), "box": [x, y, across, down]} if fit >= FIT else None


def _label(outline: NDArray[np.int32], area: float) -> tuple[str, float]:
    """Return the shape whose ideal outline the area fills best, and how much of it, at most 1."""
    _, radius = cv2.minEnclosingCircle(outline)
    (_, (first, second), _) = cv2.minAreaRect(outline)
    ideal, _ = cv2.minEnclosingTriangle(outline)
    # outlines run through the middles of the border's pixels: half a pixel is missing on each side
    first, second = first + 1, second + 1
    square = "square" if max(first, second) <= SQUARE * min(first, second) else "rectangle"
    fits = {
        "circle": area / (np.pi * (radius + 0.5) ** 2),
        "triangle": area / max(ideal + 1.5 * np.sqrt(max(ideal, 1.0)) * 2, 1.0),
        square: area / (first * second),
    }
    label = max(fits, key=lambda name: float(fits[name]))
    return label, min(1.0, float(fits[label]))
