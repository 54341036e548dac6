"""Random backgrounds: gradients, noise at several scales, coloured shapes, checks and stripes. No photo is used."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def random_backdrop(random: np.random.Generator, width: int, height: int) -> Picture:
    """Return a random picture, uint8 RGB (height, width, 3)."""
    picture = _gradient(random, width, height)
    kind = random.integers(4)
    if kind == 0:
        picture = _checks(random, picture)
    for _ in range(random.integers(0, 14) if kind != 1 else 0):
        _shape(random, picture)
    return _noise(random, picture)


def random_colour(random: np.random.Generator) -> tuple[int, int, int]:
    """Return a colour, vivid or greyish in equal parts."""
    colour = random.integers(0, 256, 3)
    if random.random() < 0.5:
        colour = (colour * 0.25 + random.integers(0, 256) * 0.75).astype(int)
    red, green, blue = colour.tolist()
    return red, green, blue


def random_patch(random: np.random.Generator, width: int, height: int) -> Picture:
    """Return a simple texture: one colour with a few shapes, for faces and for what stands in the way."""
    patch = np.full((height, width, 3), random_colour(random), np.uint8)
    for _ in range(random.integers(0, 8)):
        _shape(random, patch)
    return patch


def _gradient(random: np.random.Generator, width: int, height: int) -> Picture:
    corners = np.array([random_colour(random) for _ in range(4)], np.float32)
    if random.random() < 0.5:
        corners = corners * 0.2 + corners[0] * 0.8
    return np.clip(_enlarged(corners.reshape(2, 2, 3), width, height), 0, 255).astype(np.uint8)


def _noise(random: np.random.Generator, picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    total = picture.astype(np.float32)
    for cell in (2, 8, 32):
        strength = random.random() ** 2 * 30
        rows, columns = max(2, height // cell), max(2, width // cell)
        depth = 3 if random.random() < 0.5 else 1
        total += _enlarged(random.normal(0, strength, (rows, columns, depth)).astype(np.float32), width, height)
    return np.clip(total, 0, 255).astype(np.uint8)


def _checks(random: np.random.Generator, picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    cell = max(2.0, width * random.uniform(0.02, 0.15))
    angle = random.uniform(0, np.pi)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    across = np.floor((x * np.cos(angle) + y * np.sin(angle)) / cell)
    down = np.floor((y * np.cos(angle) - x * np.sin(angle)) / cell)
    odd = ((across + down if random.random() < 0.7 else across) % 2).astype(bool)
    picture[odd] = random_colour(random)
    return picture


def _shape(random: np.random.Generator, picture: Picture) -> None:
    height, width = picture.shape[:2]
    centre = random.uniform(0, 1, 2) * (width, height)
    reach = width * random.uniform(0.03, 0.3)
    colour = random_colour(random)
    match random.integers(4):
        case 0:
            size = (reach * random.uniform(0.3, 1, 2)).astype(int).tolist()
            cv2.ellipse(
                picture, centre.astype(int).tolist(), size, random.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA
            )
        case 1:
            end = (centre + random.normal(0, reach, 2)).astype(int).tolist()
            cv2.line(picture, centre.astype(int).tolist(), end, colour, int(random.integers(1, 6)), cv2.LINE_AA)
        case 2:
            corners = (centre + random.normal(0, reach * 0.6, (random.integers(3, 7), 2))).astype(np.int32)
            cv2.fillPoly(picture, [cv2.convexHull(corners)], colour, cv2.LINE_AA)
        case _:
            text = str(random.integers(0, 1000))
            place = centre.astype(int).tolist()
            cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, reach / 40, colour, int(random.integers(1, 5)))


def _enlarged(small: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    large = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    return large.reshape(height, width, -1)
