"""How well a model does on pictures whose truth is known: mAP50 of detectors, accuracy of classifiers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import MediaError
from pipeline.models.base import Model
from pipeline.models.check import read_picture
from pipeline.models.suppression import overlap
from pipeline.models.truth import TrueObject, Truth

#: a finding counts where it overlaps the truth by so much (intersection over union), as in PASCAL VOC and COCO's AP50
MATCH_IOU = 0.5
#: points at which precision is read off, as COCO does
RECALLS = np.linspace(0, 1, 101)

Findings = Sequence[Mapping[str, Any]]


def evaluate(model: Model, pictures: Path, truth: Truth) -> dict[str, Any]:
    """Run a model over the pictures of a ground truth and return the report, plain JSON data.

    Raises: MediaError for a picture that is missing or no picture, DeviceOutOfMemory, ModelError.
    """
    found: dict[str, Findings] = {}
    started = time.perf_counter()
    for name in truth.pictures:
        path = pictures / name
        inside = path.resolve().is_relative_to(pictures.resolve())
        picture = read_picture(path) if inside else None
        if picture is None:
            raise MediaError(f"{path} is no picture that can be read", code="media.undecodable")
        found[name] = model.predict([picture])[0]
    report: dict[str, Any] = {
        "model": model.card.name,
        "version": model.card.version,
        "task": model.card.task,
        "pictures": len(found),
        "seconds": round(time.perf_counter() - started, 3),
        "evaluated_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    if model.card.task == "classify":
        return report | classifier_figures(found, truth.labels, model.card.output.labels)
    return report | detector_figures(
        found, truth.objects, model.card.output.labels, min_score=model.card.output.min_score
    )


def classifier_figures(
    found: Mapping[str, Findings], truth: Mapping[str, str], labels: Sequence[str]
) -> dict[str, Any]:
    """Return accuracy (the best label is right), accuracy_top5, and per label pictures, precision and recall.

    A picture whose true label the card does not have counts as wrong; such labels are named.
    """
    told = {name: [one["label"] for one in found[name]] for name in truth}
    first = {name: told[name][0] if told[name] else None for name in truth}
    right = Counter(truth[name] for name in truth if first[name] == truth[name])
    wanted, given = Counter(truth.values()), Counter(first.values())
    mixed = Counter((truth[name], first[name]) for name in truth if first[name] != truth[name])
    return {
        "accuracy": _part(sum(right.values()), len(truth)),
        "accuracy_top5": _part(sum(truth[name] in told[name][:5] for name in truth), len(truth)),
        "labels": {
            label: {
                "pictures": wanted[label],
                "precision": _part(right[label], given[label]),
                "recall": _part(right[label], wanted[label]),
            }
            for label in sorted(wanted)
        },
        "most_mixed_up": [{"true": a, "told": b, "pictures": n} for (a, b), n in mixed.most_common(10)],
        "labels_not_in_card": sorted(set(wanted) - set(labels)),
    }


def detector_figures(
    found: Mapping[str, Findings], truth: Mapping[str, Sequence[TrueObject]], labels: Sequence[str], *, min_score: float
) -> dict[str, Any]:
    """Return mAP50 (mean over the truth's labels), and per label objects, AP50, precision and recall at ``min_score``.

    A label of the truth that the card does not have has an AP of 0, and is named.
    """
    wanted = sorted({one.label for objects in truth.values() for one in objects if not one.crowd})
    table = {label: _label_figures(found, truth, label, min_score) for label in wanted}
    return {
        "map50": _part(sum(one["ap50"] for one in table.values()), len(table)),
        "min_score": min_score,
        "labels": table,
        "labels_not_in_card": sorted(set(wanted) - set(labels)),
    }


def _label_figures(
    found: Mapping[str, Findings], truth: Mapping[str, Sequence[TrueObject]], label: str, min_score: float
) -> dict[str, Any]:
    scores, hits = [], []
    for name, objects in truth.items():
        mine = sorted((one for one in found[name] if one["label"] == label), key=lambda one: -one["score"])
        for one, hit in zip(mine, _matches(mine, [each for each in objects if each.label == label]), strict=True):
            if hit is not None:
                scores.append(one["score"])
                hits.append(hit)
    total = sum(one.label == label and not one.crowd for objects in truth.values() for one in objects)
    sure = [hit for score, hit in zip(scores, hits, strict=True) if score >= min_score]
    return {
        "objects": total,
        "ap50": average_precision(np.asarray(scores), np.asarray(hits, dtype=bool), total),
        "precision": _part(sum(sure), len(sure)),
        "recall": _part(sum(sure), total),
    }


def _matches(found: Findings, truth: Sequence[TrueObject]) -> list[bool | None]:
    """Return of each finding, best score first, whether it hits an object no better one has hit; None over a crowd."""
    if not truth:
        return [False] * len(found)
    boxes = _corners([one.box for one in truth])
    crowd, free = np.array([one.crowd for one in truth]), np.ones(len(truth), dtype=bool)
    hits: list[bool | None] = []
    for one in found:
        shared = overlap(_corners([one["box"]])[0], boxes)
        open_ones = np.where(free & ~crowd, shared, 0)
        best = int(open_ones.argmax())
        if open_ones[best] >= MATCH_IOU:
            free[best] = False
            hits.append(True)
        else:
            hits.append(None if (shared[crowd] >= MATCH_IOU).any() else False)
    return hits


def average_precision(scores: NDArray[np.float64], hits: NDArray[np.bool_], total: int) -> float:
    """Return the mean over 101 recalls of the best precision at that recall or more (COCO's definition).

    scores, hits: of all findings of one label over all pictures. total: objects there are; 0 gives 0.
    """
    if not total or not len(scores):
        return 0.0
    ordered = hits[np.argsort(-scores, kind="stable")]
    right = np.cumsum(ordered)
    precision = np.maximum.accumulate((right / np.arange(1, len(right) + 1))[::-1])[::-1]
    places = np.searchsorted(right / total, RECALLS - 1e-9)
    return round(float(np.append(precision, 0.0)[places].mean()), 4)


def _corners(boxes: Sequence[Sequence[float]]) -> NDArray[np.float32]:
    values = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    return np.concatenate([values[:, :2], values[:, :2] + values[:, 2:]], axis=1)


def _part(count: float, total: int) -> float:
    return round(count / total, 4) if total else 0.0
