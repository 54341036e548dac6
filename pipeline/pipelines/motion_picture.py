"""Picture arithmetic of the motion pipeline: pure functions on small grey pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.frame import Frame
from pipeline.pipelines.base import Params

#: longest side of the grey picture that is compared; grain is averaged away at this size
SMALL_SIDE = 192
#: longest side at which sharpness is measured, so that it does not depend on the source's size
SHARP_SIDE = 320
#: grey levels between two frames' pixels from which the pixel counts for a scene cut
CUT_LEVELS = 20
#: grey levels from which it counts as a change for a still scene: above what compression and grain do
STILL_LEVELS = 6
#: largest change of exposure, in grey levels, that is evened out before pictures are compared
MAX_SHIFT = 64
#: standard deviation in grey levels under which a picture is flat (black, a lens cap): there is nothing to even out,
#: and a change to or from it is no change of exposure
FLAT_LEVELS = 1.5


@dataclass(frozen=True, slots=True)
class Look:
    """One frame by itself.

    grey: uint8, (h, w), longest side at most 192, slightly smoothed. luma: mean grey level. bright: the level that 98 %
    of the pixels do not reach. blur: variance of the Laplacian, low where blurred.
    """

    grey: NDArray[np.uint8]
    luma: float
    bright: float
    blur: float


def look_at(image: NDArray[np.uint8]) -> Look:
    """Measure one picture; image: uint8, (h, w, 3), RGB."""
    sharp = np.asarray(cv2.cvtColor(shrink(image, SHARP_SIDE), cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    small = shrink(sharp, SMALL_SIDE)
    return Look(
        grey=np.asarray(cv2.GaussianBlur(small, (5, 5), 0), dtype=np.uint8),
        luma=float(small.mean()),
        bright=float(np.percentile(small, 98)),
        blur=float(cv2.Laplacian(sharp, cv2.CV_32F).var()),
    )


def shrink(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return the picture with its longest side at most ``side`` pixels, the other at least 1."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def background(window: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return the median picture, uint8, (h, w): what stood still in most of the window."""
    ordered = np.sort(np.stack(window), axis=0)
    middle = len(window) // 2
    if len(window) % 2:
        return np.asarray(ordered[middle])
    return np.asarray((ordered[middle - 1].astype(np.uint16) + ordered[middle]) // 2, dtype=np.uint8)


def levelled(picture: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return ``picture`` as bright as ``other``: shifted by the median difference, which cameras' exposure makes."""
    shift = int(np.median(other.astype(np.int16) - picture))
    flat = min(float(picture.std()), float(other.std())) < FLAT_LEVELS
    if flat or not 0 < abs(shift) <= MAX_SHIFT:
        return picture
    return np.asarray(np.clip(picture.astype(np.int16) + shift, 0, 255), dtype=np.uint8)


def changed_share(grey: NDArray[np.uint8], before: NDArray[np.uint8]) -> float:
    """Return the share of pixels that changed at all, 0..1."""
    return float((cv2.absdiff(grey, before) > STILL_LEVELS).mean()) if grey.shape == before.shape else 1.0


def cut_score(grey: NDArray[np.uint8], before: NDArray[np.uint8]) -> float:
    """Return 0..1: share of pixels that changed x (1 - correlation of the pictures).

    Motion changes few pixels, a change of light many that still correlate; only another scene does both.
    """
    if grey.shape != before.shape:
        return 1.0
    changed = float((cv2.absdiff(grey, levelled(before, grey)) > CUT_LEVELS).mean())
    return changed * (1.0 - max(0.0, _correlation(grey, before)))


def _correlation(one: NDArray[np.uint8], two: NDArray[np.uint8]) -> float:
    """Return the correlation of two pictures, 0 where one of them is flat."""
    a = one.astype(np.float32) - one.mean(dtype=np.float32)
    b = two.astype(np.float32) - two.mean(dtype=np.float32)
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > 1e-6 else 0.0


def changed_boxes(
    grey: NDArray[np.uint8], still: NDArray[np.uint8], frame: Frame, params: Params
) -> tuple[float, list[dict[str, Any]]]:
    """Return the share of changed pixels and the moving boxes, largest first, in source pixels.

    A box: {"label": "moving", "score": share of it that changed, "box": [x, y, width, height]}.
    """
    mask = (cv2.absdiff(grey, levelled(still, grey)) > params["threshold"]).astype(np.uint8)
    activity = float(mask.mean())
    if not activity or not params["max_boxes"]:
        return activity, []
    solid = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8)), dtype=np.uint8)
    joined = cv2.dilate(solid, np.ones((5, 5), np.uint8))
    count, labels = cv2.connectedComponents(joined, connectivity=8)
    areas = np.bincount(labels[solid > 0], minlength=count)
    areas[0] = 0
    keep = np.flatnonzero((areas > 0) & (areas >= params["min_area"] * grey.size))
    order = keep[np.lexsort((keep, -areas[keep]))][: params["max_boxes"]]
    return activity, [_box(labels == label, solid, frame) for label in order.tolist()]


def _box(blob: NDArray[np.bool_], solid: NDArray[np.uint8], frame: Frame) -> dict[str, Any]:
    inside = blob & (solid > 0)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    across = frame.image.shape[1] / solid.shape[1] / frame.scale
    down = frame.image.shape[0] / solid.shape[0] / frame.scale
    box = [left * across, top * down, (right - left) * across, (bottom - top) * down]
    filled = float(inside[top:bottom, left:right].mean())
    return {"label": "moving", "score": round(filled, 4), "box": [round(value, 1) for value in box]}
