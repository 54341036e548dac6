"""Anchor-free heads: one prediction per cell of a few grids, raw as the network gives them."""

from __future__ import annotations

import numpy as np

from pipeline.errors import ModelError
from pipeline.models.card import ModelCard
from pipeline.models.outputs import (
    Boxes,
    Floats,
    Outputs,
    activated,
    cells,
    each,
    expect,
    expect_classes,
    named,
    only,
    optional,
    softmaxed,
)


def yolox(outputs: Outputs, card: ModelCard) -> list[Boxes]:
    """Read YOLOX exported without its decoding: (n, cells, 5 + classes), the grids of ``strides`` one after another.

    centre = (value + cell) x stride, size = e^value x stride, score = objectness x class
    (Ge et al. 2021, "YOLOX: Exceeding YOLO Series in 2021"; the export applies the sigmoid to both already).
    """
    rows = only(outputs, card)
    expect(card, rows.ndim == 3, rows)
    expect_classes(card, rows.shape[2] - 5)
    grid, stride = _grids(card, rows.shape[1], offset=0.0)
    centre = grid + rows[:, :, :2] * stride
    half = np.exp(np.clip(rows[:, :, 2:4], -20, 20)) * stride / 2
    scores = activated(rows[:, :, 5:], card, "none") * activated(rows[:, :, 4:5], card, "none")
    return each(np.concatenate([centre - half, centre + half], axis=2), scores)


def fcos(outputs: Outputs, card: ModelCard) -> list[Boxes]:
    """Read distances from a cell to the four sides of its box: FCOS, NanoDet, PicoDet and their like.

    ``boxes`` (n, cells, 4): left, top, right, bottom in strides (``box_units = "pixels"``: in pixels); with
    4 x bins values each side is the mean of a distribution over 0, 1, 2 ... (Li et al. 2020, "Generalized Focal Loss").
    ``scores`` (n, cells, classes), by the sigmoid unless ``activation`` says otherwise; ``centerness`` (n, cells, 1),
    where there is one, by the sigmoid: score = sqrt(class x centerness) (Tian et al. 2019, "FCOS").
    An output may come in one piece, or as one map (n, values, rows, columns) per stride: ``boxes_8``, ``boxes_16``...
    """
    sides = _levels(outputs, card, "boxes")
    scores = activated(_required(_levels(outputs, card, "scores"), card, "scores"), card, "sigmoid")
    sides = _required(sides, card, "boxes")
    expect(card, sides.shape[2] % 4 == 0 and sides.shape[1] == scores.shape[1], sides)
    expect_classes(card, scores.shape[2])
    centre = _levels(outputs, card, "centerness")
    if centre is not None:
        expect(card, centre.shape[:2] == scores.shape[:2], centre)
        scores = np.sqrt(scores * activated(centre[:, :, :1], card, "sigmoid"))
    if sides.shape[2] > 4:
        bins = sides.reshape(*sides.shape[:2], 4, -1)
        sides = np.asarray(softmaxed(bins, 3) @ np.arange(bins.shape[3]), dtype=np.float32)
    grid, stride = _grids(card, sides.shape[1], offset=card.output.cell_offset)
    reach = sides * (np.float32(1) if card.output.box_units == "pixels" else stride)
    return each(np.concatenate([grid - reach[:, :, :2], grid + reach[:, :, 2:]], axis=2), scores)


def _levels(outputs: Outputs, card: ModelCard, name: str) -> Floats | None:
    """Return an output as (n, cells, values), joined over strides where the model gives one per stride."""
    whole = optional(outputs, card, name)
    if whole is not None:
        return _flat(whole, card)
    if optional(outputs, card, f"{name}_{card.output.strides[0]}") is None:
        return None
    parts = [_flat(named(outputs, card, f"{name}_{stride}"), card) for stride in card.output.strides]
    return np.concatenate(parts, axis=1)


def _flat(values: Floats, card: ModelCard) -> Floats:
    expect(card, values.ndim in {3, 4}, values)
    if values.ndim == 3:
        return values
    return values.reshape(*values.shape[:2], -1).transpose(0, 2, 1)


def _required(values: Floats | None, card: ModelCard, name: str) -> Floats:
    if values is None:
        wanted = card.output.names.get(name, name)
        raise ModelError(f"{card.name}: no output {wanted!r}, and none called {name}_{card.output.strides[0]}")
    return values


def _grids(card: ModelCard, count: int, *, offset: float) -> tuple[Floats, Floats]:
    """Return where the cells of all strides lie in input pixels (1, cells, 2), and their strides (1, cells, 1)."""
    places, strides = [], []
    for stride in card.output.strides:
        grid = cells(-(-card.input.height // stride), -(-card.input.width // stride))
        places.append((grid + np.float32(offset)) * np.float32(stride))
        strides.append(np.full((1, grid.shape[1], 1), stride, dtype=np.float32))
    joined = np.concatenate(places, axis=1)
    if joined.shape[1] != count:
        raise ModelError(
            f"{card.name}: the model tells {count} cells; strides {list(card.output.strides)} make {joined.shape[1]}"
        )
    return joined, np.concatenate(strides, axis=1)
