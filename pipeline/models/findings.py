"""From decoded outputs to findings: plain JSON data in pixels of the picture."""

from __future__ import annotations

from math import ceil, floor
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ModelError
from pipeline.models.card import ModelCard
from pipeline.models.card_faults import SUPPRESSED
from pipeline.models.mask_heads import Patch, Regions
from pipeline.models.outputs import Boxes
from pipeline.models.preprocess import Placement
from pipeline.models.suppression import kept_places

#: overlap above which the lesser of two boxes goes, where a card does not say
NMS_IOU = 0.45
#: a ring of a polygon has at most so many points, a mask so many rings
MAX_POINTS = 100
MAX_RINGS = 20


def boxed(card: ModelCard, found: Boxes, placement: Placement) -> list[dict[str, Any]]:
    """Return a detector's findings in pixels of the picture, best first."""
    kept = found.take(_kept(card, found))
    findings = [_finding(card, kept, place, placement) for place in range(len(kept.scores))]
    return [one for one in findings if one is not None]  # None: it lay in the padding


def masked(card: ModelCard, found: Regions, placement: Placement) -> list[dict[str, Any]]:
    """Return a segmenter's findings: those of a detector with ``area`` and ``polygon``, best first.

    area: picture pixels that the mask covers, holes not counted. polygon: its outer rings, largest first, each a
    list of [x, y] through the middles of border pixels, simplified by at most a pixel. What covers no
    pixel is no finding.
    """
    findings = []
    for place in _kept(card, found.boxes).tolist():
        one = _finding(card, found.boxes, place, placement)
        if one is None:
            continue
        shape = _shape(found.patch(place), one["box"], placement, card.output.mask_threshold)
        if shape is not None:
            findings.append({**one, **shape})
    return findings


def labelled(card: ModelCard, scores: NDArray[np.float32]) -> list[dict[str, Any]]:
    """Return a classifier's labels, highest score first, ties in the card's order."""
    if not np.isfinite(scores).all():
        raise ModelError(f"{card.name}: a score is not a number")
    order = np.argsort(-scores, kind="stable")[: card.output.max_findings]
    return [{"label": card.output.labels[int(place)], "score": round(float(scores[place]), 4)} for place in order]


def _kept(card: ModelCard, found: Boxes) -> NDArray[np.int64]:
    output = card.output
    usual = 1.0 if output.decoder in SUPPRESSED else NMS_IOU
    return kept_places(
        found,
        score_floor=output.score_floor,
        iou=usual if output.nms_iou is None else output.nms_iou,
        limit=output.max_findings,
        across_classes=output.nms_across_classes,
    )


def _finding(card: ModelCard, found: Boxes, place: int, placement: Placement) -> dict[str, Any] | None:
    low, high = placement.to_picture(found.boxes[place].reshape(2, 2)).tolist()
    size = [high[0] - low[0], high[1] - low[1]]
    if min(size) <= 0:
        return None
    finding: dict[str, Any] = {
        "label": card.output.labels[int(found.classes[place])],
        "score": round(float(found.scores[place]), 4),
        "box": [round(value, 2) for value in [*low, *size]],
    }
    if found.points is not None:
        points = placement.to_picture(found.points[place]).tolist()
        finding["keypoints"] = [[round(value, 2) for value in point] for point in points]
    return finding


def _shape(patch: Patch, box: list[float], placement: Placement, threshold: float) -> dict[str, Any] | None:
    """Return ``area`` and ``polygon`` of a mask inside a box of the picture, None where it covers no pixel."""
    left, top = floor(box[0]), floor(box[1])
    width, height = ceil(box[0] + box[2]) - left, ceil(box[1] + box[3]) - top
    mask = _sampled(patch, placement, (left, top, width, height)) >= threshold
    area = int(mask.sum())
    if not area:
        return None
    rings, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    rings = sorted(rings, key=cv2.contourArea, reverse=True)[:MAX_RINGS]
    middle = np.array([left + 0.5, top + 0.5])  # pixel i reaches from i to i + 1
    polygon = [np.round(_simplified(ring) + middle, 2).tolist() for ring in rings]
    return {"area": float(area), "polygon": polygon}


def _sampled(patch: Patch, placement: Placement, window: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """Return the mask's values at the middles of the picture's pixels in a window (left, top, width, height)."""
    left, top, width, height = window
    rows, columns = patch.values.shape
    x1, y1, x2, y2 = patch.area
    across, down = columns / max(x2 - x1, 1e-6), rows / max(y2 - y1, 1e-6)
    step_x, step_y = placement.scale_x * across, placement.scale_y * down
    start_x = ((left + 0.5) * placement.scale_x + placement.left - x1) * across - 0.5
    start_y = ((top + 0.5) * placement.scale_y + placement.top - y1) * down - 0.5
    to_map = np.array([[step_x, 0, start_x], [0, step_y, start_y]], dtype=np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    values = cv2.warpAffine(patch.values, to_map, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(values, dtype=np.float32)


def _simplified(ring: NDArray[Any]) -> NDArray[np.float64]:
    """Return a ring (n, 2) with fewer points: off by a pixel at first, by more until there are few enough."""
    tolerance = 1.0
    points = cv2.approxPolyDP(ring, tolerance, closed=True)
    while len(points) > MAX_POINTS:
        tolerance *= 1.5
        points = cv2.approxPolyDP(ring, tolerance, closed=True)
    return np.asarray(points.reshape(-1, 2), dtype=np.float64)
