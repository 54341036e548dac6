"""Heads with anchors: offsets to prior boxes that the card declares."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from pipeline.errors import ModelError
from pipeline.models.card import Input, ModelCard, PriorMap
from pipeline.models.outputs import (
    Boxes,
    Floats,
    Outputs,
    activated,
    cells,
    each,
    expect,
    named,
    without_background,
)


def ssd(outputs: Outputs, card: ModelCard) -> list[Boxes]:
    """Read ``locations`` (n, k, 4) and ``scores`` (n, k, classes): offsets to the k priors of the card.

    centre = prior centre + value x variance x prior size; size = prior size x e^(value x variance)
    (Liu et al. 2016, "SSD: Single Shot MultiBox Detector"). Scores by softmax unless ``activation`` says otherwise.
    """
    locations, scores = named(outputs, card, "locations"), named(outputs, card, "scores")
    locations = locations.reshape(len(locations), -1, 4) if locations.size % 4 == 0 else locations
    expect(card, locations.ndim == 3 and locations.shape[2] == 4, locations)
    scores = scores.reshape(*locations.shape[:2], -1) if scores.size % max(1, locations.size // 4) == 0 else scores
    expect(card, scores.ndim == 3 and scores.shape[:2] == locations.shape[:2], scores)
    priors = prior_boxes(card.output.priors, card.input)
    if len(priors) != locations.shape[1]:
        raise ModelError(f"{card.name}: the model tells {locations.shape[1]} boxes, the card's priors {len(priors)}")
    of_centre, of_size = (np.float32(one) for one in card.output.variances)
    centre = priors[:, :2] + locations[:, :, :2] * of_centre * priors[:, 2:]
    half = priors[:, 2:] * np.exp(np.clip(locations[:, :, 2:] * of_size, -20, 20)) / 2
    found = np.concatenate([centre - half, centre + half], axis=2)
    return each(found, without_background(activated(scores, card, "softmax"), card))


@lru_cache(maxsize=8)
def prior_boxes(maps: tuple[PriorMap, ...], spec: Input) -> Floats:
    """Return the priors of all maps in input pixels, float32, (k, 4): centre x, y, width, height.

    Cells go row by row, in each cell the sizes in the card's order.
    """
    found = []
    for one in maps:
        grid = cells(-(-spec.height // one.stride), -(-spec.width // one.stride))[0]
        centre = np.repeat((grid + np.float32(0.5)) * np.float32(one.stride), len(one.sizes), axis=0)
        sizes = np.tile(np.asarray(one.sizes, dtype=np.float32), (len(grid), 1))
        found.append(np.concatenate([centre, sizes], axis=1))
    return np.concatenate(found)
