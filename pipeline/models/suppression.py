"""Of boxes that cover each other, keep the best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.models.outputs import Boxes

#: more candidates than this are cut by score before they are compared
MAX_CANDIDATES = 2000


def kept_places(
    found: Boxes, *, score_floor: float, iou: float, limit: int, across_classes: bool = False
) -> NDArray[np.int64]:
    """Return the places of the best boxes, highest score first, no two overlapping by more than ``iou``.

    Boxes of different classes are compared only with ``across_classes``.
    Equal scores keep the model's order, so the outcome is the same on every machine.
    """
    sound = np.isfinite(found.boxes).all(axis=1) & np.isfinite(found.scores) & (found.scores >= score_floor)
    candidates = np.flatnonzero(sound)
    order = candidates[np.argsort(-found.scores[candidates], kind="stable")][:MAX_CANDIDATES]
    ranked = found.take(order)
    kept: list[int] = []
    left = np.arange(len(order))
    while left.size and len(kept) < limit:
        best, rest = left[0], left[1:]
        kept.append(int(best))
        same = across_classes | (ranked.classes[rest] == ranked.classes[best])
        left = rest[~(same & (overlap(ranked.boxes[best], ranked.boxes[rest]) > iou))]
    return np.asarray(order[np.asarray(kept, dtype=np.int64)], dtype=np.int64)


def overlap(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return intersection over union of one box (4,) with others (n, 4): float32, (n,)."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    area = np.prod(np.clip(box[2:] - box[:2], 0, None))
    areas = np.prod(np.clip(others[:, 2:] - others[:, :2], 0, None), axis=1)
    return np.asarray(shared / np.maximum(area + areas - shared, 1e-9), dtype=np.float32)
