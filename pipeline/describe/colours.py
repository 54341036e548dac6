"""Names of colours: the eleven basic terms, by the nearest of their focal colours in CIELAB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.describe.vocabulary import COLOURS

Picture = NDArray[np.uint8]

#: sRGB of good examples of each basic term (the terms of Berlin and Kay, "Basic Color Terms", 1969), several each,
#: light, full and dark, chosen here
FOCALS: Mapping[str, tuple[tuple[int, int, int], ...]] = {
    "black": ((0, 0, 0), (25, 25, 28)),
    "grey": ((128, 128, 128), (90, 92, 95), (165, 165, 165)),
    "white": ((255, 255, 255), (225, 226, 228), (200, 202, 205)),
    "red": ((220, 20, 30), (150, 15, 25), (235, 60, 50)),
    "orange": ((250, 130, 20), (230, 100, 20), (250, 165, 60)),
    "yellow": ((250, 220, 20), (220, 190, 30), (250, 235, 120)),
    "green": ((30, 150, 50), (15, 80, 30), (130, 200, 90), (110, 130, 40), (0, 255, 0)),
    "blue": ((30, 70, 200), (20, 30, 100), (110, 170, 230), (40, 150, 200), (0, 230, 240), (0, 0, 255)),
    "purple": ((130, 40, 150), (80, 30, 100), (170, 110, 200)),
    "pink": ((250, 160, 190), (240, 100, 160), (230, 150, 150)),
    "brown": ((120, 70, 30), (80, 45, 25), (160, 115, 75)),
}
_TERMS = np.array([place for place, name in enumerate(COLOURS) for _ in FOCALS[name]])
#: the brightest surface of a picture is taken for white, but luminance is raised at most by this: a dark picture
#: need not show anything white
MAX_GAIN = 1.6
#: samples of one picture are at most this many pixels a side: a colour needs no more
SIDE = 96


def lab(picture: Picture) -> NDArray[np.float32]:
    """Return CIELAB (D65), float32, (h, w, 3), L 0 to 100; picture: uint8 RGB, (h, w, 3)."""
    return np.asarray(cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2Lab))


_FOCALS = lab(np.array([[shade for name in COLOURS for shade in FOCALS[name]]], dtype=np.uint8))[0]


def named(picture: Picture) -> NDArray[np.int64]:
    """Return the place in COLOURS of each pixel's colour, int64, (h, w); distance is CIE 1976."""
    values = lab(picture).reshape(-1, 3)
    # axis by axis: a sum over an axis of three costs four times as much
    lightness, green_red, blue_yellow = ((values[:, axis, None] - _FOCALS[:, axis]) ** 2 for axis in range(3))
    distance = lightness + green_red + blue_yellow
    return np.asarray(_TERMS[distance.argmin(axis=1)].reshape(picture.shape[:2]), dtype=np.int64)


def name_of(rgb: tuple[int, int, int]) -> str:
    """Return the term of one colour, sRGB, 0 to 255."""
    return COLOURS[int(named(np.array([[rgb]], dtype=np.uint8))[0, 0])]


def colours_of(picture: Picture, boxes: Sequence[Sequence[float]]) -> list[dict[str, Any] | None]:
    """Return what each box's colour is: name, share of its pixels (0 to 1), ``also``: a next best of at least 0.2.

    None for a box smaller than 4 x 4. picture: uint8 RGB, (h, w, 3). boxes: [x, y, width, height] in its pixels.
    Counted are pixels that look unlike what surrounds the box, weighed towards its middle, since detectors box loosely
    and the corners are background. The light is judged by the picture's brightest surface: a white thing under clouds
    is white.
    """
    gain = exposure(picture)
    return [_colour(picture, box, gain) for box in boxes]


def exposure(picture: Picture) -> float:
    """Return by how much luminance is raised so that the brightest 5 % are white, 1 to MAX_GAIN.

    After "anchoring to the brightest" (Gilchrist et al., "An anchoring theory of lightness perception", 1999).
    """
    step = max(1, max(picture.shape[:2]) // 256)
    lightness = float(np.percentile(lab(np.ascontiguousarray(picture[::step, ::step]))[:, :, 0], 95))
    luminance = ((lightness + 16) / 116) ** 3
    return float(min(MAX_GAIN, max(1.0, 1 / max(luminance, 1e-3))))


def _colour(picture: Picture, box: Sequence[float], gain: float) -> dict[str, Any] | None:
    inner = _cut(picture, box, 0.0)
    if inner is None:
        return None
    foreground = _weights(*inner.shape[:2]) * _unlike_surroundings(picture, box, inner)
    lit = np.clip(inner * gain ** (1 / 2.2), 0, 255).astype(np.uint8)
    votes = np.bincount(named(lit).ravel(), weights=foreground.ravel(), minlength=len(COLOURS))
    shares = votes / max(float(votes.sum()), 1e-9)
    best, second = (int(place) for place in np.argsort(-shares, kind="stable")[:2])
    told: dict[str, Any] = {"name": COLOURS[best], "share": round(float(shares[best]), 3)}
    if shares[second] >= 0.2:
        told["also"] = COLOURS[second]
    return told


def _cut(picture: Picture, box: Sequence[float], grow: float) -> Picture | None:
    """Return a box's pixels at most SIDE a side, grown by a share of its size; None where fewer than 4 x 4 remain."""
    x, y, width, height = box
    left, top = max(0, round(x - grow * width)), max(0, round(y - grow * height))
    right = min(picture.shape[1], round(x + width * (1 + grow)))
    bottom = min(picture.shape[0], round(y + height * (1 + grow)))
    if right - left < 4 or bottom - top < 4:
        return None
    part = picture[top:bottom, left:right]
    scale = min(1.0, SIDE / max(part.shape[:2]))
    size = (max(4, round(part.shape[1] * scale)), max(4, round(part.shape[0] * scale)))
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA))


def _weights(height: int, width: int) -> NDArray[np.float64]:
    """Return weights that fall from the middle to 0 at the corners of an ellipse in the box, float64, (h, w)."""
    down, across = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return np.asarray(np.clip(1.15 - (down**2 + across**2), 0, 1))


def _unlike_surroundings(picture: Picture, box: Sequence[float], inner: Picture) -> NDArray[np.float64]:
    """Return 1 where a pixel's colour is rarer in the ring around the box than inside, 0.25 elsewhere, float64."""
    ring = _cut(picture, box, 0.25)
    if ring is None:
        return np.ones(inner.shape[:2])
    inside, around = _histogram(inner), _histogram(ring)
    # the ring's histogram has the inner part in it; its share of the area is 1 / 1.5^2
    outside = np.clip(around - inside / 2.25, 0, None)
    likely = inside > outside * 1.5
    return np.where(likely[_bins(inner)], 1.0, 0.25)


def _bins(picture: Picture) -> NDArray[np.int64]:
    coarse = picture.astype(np.int64) >> 5
    return np.asarray(coarse[:, :, 0] * 64 + coarse[:, :, 1] * 8 + coarse[:, :, 2])


def _histogram(picture: Picture) -> NDArray[np.float64]:
    counts = np.bincount(_bins(picture).ravel(), minlength=512)
    return np.asarray(counts / counts.sum())
