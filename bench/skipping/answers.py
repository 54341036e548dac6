"""How much of the every-frame answer is left when frames are skipped: 1 is all of it, the loss is what is missing.

Answers over time are read frame by frame of the source: a frame that was not sampled has the answer of the last sampled
one before it, as whoever reads the result would take it. Answers of a whole video are read from the job's summary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
Box = Sequence[float]
OVERLAP = 0.5


@dataclass(frozen=True, slots=True)
class Told:
    """What one run tells. held: the row that speaks for each frame of the source."""

    held: Sequence[Row]
    summary: Mapping[str, Any]


def held(rows: Sequence[Row], frames: int) -> list[Row]:
    """Return the row that speaks for each frame of the source: the last at or before it. The first frame has one."""
    found, place = list[Row](), 0
    for index in range(frames):
        if place + 1 < len(rows) and rows[place + 1]["index"] <= index:
            place += 1
        found.append(rows[place])
    return found


def labels_kept(truth: Sequence[Row], told: Sequence[Row]) -> float:
    """detect: F1 of (frame, label) pairs, which things are in which frame; 1 where neither has any."""
    return _pairs_kept([{one["label"] for one in row["objects"]} for row in truth],
                       [{one["label"] for one in row["objects"]} for row in told])  # fmt: skip


def boxes_kept(truth: Sequence[Row], told: Sequence[Row]) -> float:
    """detect: F1 of single boxes, a stricter question than the labels'.

    Each is matched at most once, by label and an overlap (intersection over union) of at least 0.5, first come.
    """
    both = list(zip(truth, told, strict=True))
    right = sum(_matched(a["objects"], b["objects"]) for a, b in both)
    return _f1(right, sum(len(a["objects"]) for a, _ in both), sum(len(b["objects"]) for _, b in both))


def moving_kept(truth: Sequence[Row], told: Sequence[Row]) -> float:
    """motion: share of frames for which both say, or both deny, that something moves."""
    same = [bool(a["objects"]) == bool(b["objects"]) for a, b in zip(truth, told, strict=True)]
    return sum(same) / len(same)


def curve_kept(truth: Sequence[Row], told: Sequence[Row]) -> float:
    """deepfake: 1 - mean difference over the frames of P(fake), 1 off where only one sees a face.

    A frame's P(fake) is the mean of its faces by weight, as in the summary's curve.
    """
    off = [_apart(_fake(a["faces"]), _fake(b["faces"])) for a, b in zip(truth, told, strict=True)]
    return 1 - sum(off) / len(off)


def score_kept(truth: Mapping[str, Any], told: Mapping[str, Any]) -> float:
    """deepfake: 1 - difference of the video's P(fake); 0 where the label is another one."""
    return 1 - _apart(truth["score"], told["score"]) if truth["label"] == told["label"] else 0.0


def counted_kept(truth: Mapping[str, Any], told: Mapping[str, Any]) -> float:
    """nutrition: F1 of the things counted: pieces or servings of each food, containers, unknown food."""
    return _counts_kept(_counted(truth), _counted(told))


def energy_kept(truth: Mapping[str, Any], told: Mapping[str, Any]) -> float:
    """nutrition: 1 - difference of the total kcal as a share of the larger one; 1 where neither has any."""
    one, other = (summary["totals"]["kcal"]["value"] for summary in (truth, told))
    return 1 - abs(one - other) / max(one, other) if max(one, other) > 0 else 1.0


def eaten_kept(truth: Mapping[str, Any], told: Mapping[str, Any]) -> float | None:
    """nutrition: 1 - mean difference of the share eaten of each food, 1 off where only one tells of it.

    None where nothing was to be compared.
    """
    if truth["eaten"] is None:
        return None
    one, other = (
        {food["label"]: food["eaten_share"]["value"] for food in (summary["eaten"] or {"items": ()})["items"]}
        for summary in (truth, told)
    )
    off = [_apart(one.get(label), other.get(label)) for label in one.keys() | other.keys()]
    return 1 - sum(off) / len(off) if off else 1.0


def things_kept(truth: Sequence[Row], told: Sequence[Row]) -> float:
    """describe: F1 of (frame, thing) pairs, a thing being what its caption names: a label and its colour."""
    return _pairs_kept([_things(row) for row in truth], [_things(row) for row in told])


def caption_kept(truth: Mapping[str, Any], told: Mapping[str, Any]) -> float:
    """describe: F1 of the things that the video's caption counts: three red cups and four people are seven."""
    return _counts_kept(_captioned(truth), _captioned(told))


def _by_frame(kept: Callable[[Sequence[Row], Sequence[Row]], float]) -> Callable[[Told, Told], float | None]:
    return lambda truth, told: kept(truth.held, told.held)


def _in_all(
    kept: Callable[[Mapping[str, Any], Mapping[str, Any]], float | None],
) -> Callable[[Told, Told], float | None]:
    return lambda truth, told: kept(truth.summary, told.summary)


#: by pipeline: name of the answer and how much of it is kept, 0..1; None where the clip does not ask for it
ANSWERS: Mapping[str, Mapping[str, Callable[[Told, Told], float | None]]] = {
    "detect": {"labels": _by_frame(labels_kept), "boxes": _by_frame(boxes_kept)},
    "motion": {"moving": _by_frame(moving_kept)},
    "deepfake": {"curve": _by_frame(curve_kept), "score": _in_all(score_kept)},
    "nutrition": {"counted": _in_all(counted_kept), "energy": _in_all(energy_kept), "eaten": _in_all(eaten_kept)},
    "describe": {"things": _by_frame(things_kept), "caption": _in_all(caption_kept)},
}


def _f1(right: float, expected: float, given: float) -> float:
    return 2 * right / (expected + given) if expected + given else 1.0


def _pairs_kept(truth: Iterable[set[Any]], told: Iterable[set[Any]]) -> float:
    pairs = list(zip(truth, told, strict=True))
    return _f1(sum(len(a & b) for a, b in pairs), sum(len(a) for a, _ in pairs), sum(len(b) for _, b in pairs))


def _counts_kept(truth: Counter[Any], told: Counter[Any]) -> float:
    return _f1((truth & told).total(), truth.total(), told.total())


def _apart(one: float | None, other: float | None) -> float:
    """Return the difference of two shares; 1 where only one is told, 0 where neither is."""
    if one is None or other is None:
        return float(one is not other)
    return abs(one - other)


def _fake(faces: Sequence[Mapping[str, Any]]) -> float | None:
    weight = sum(face["weight"] for face in faces)
    return sum(face["weight"] * face["score"] for face in faces) / weight if weight else None


def _counted(summary: Mapping[str, Any]) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for one in summary["items"]:
        counts["food", one["label"]] += round(one["count"]["value"])
    for kind in ("containers", "unknown"):
        for one in summary[kind]:
            counts[kind, one["label"]] += one["count"]
    return counts


def _things(row: Row) -> set[tuple[str, str | None]]:
    return {(one["label"], one["colour"]["name"] if one.get("colour") else None) for one in row["objects"]}


def _captioned(summary: Mapping[str, Any]) -> Counter[str]:
    return Counter({one["label"]: summary["objects"][one["label"]]["max"] for one in summary["evidence"]})


def _matched(expected: Sequence[Mapping[str, Any]], given: Sequence[Mapping[str, Any]]) -> int:
    free = list(given)
    right = 0
    for one in expected:
        alike = [
            (overlap(one["box"], other["box"]), at) for at, other in enumerate(free) if other["label"] == one["label"]
        ]
        best, at = max(alike, default=(0.0, -1))
        if best >= OVERLAP:
            right += 1
            del free[at]
    return right


def overlap(one: Box, other: Box) -> float:
    """Return intersection over union of two boxes [x, y, width, height]."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)
