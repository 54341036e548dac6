"""A deepfake job's summary: faces with their votes, a curve, and the worst moments; one pass over the rows."""

from __future__ import annotations

from collections.abc import Iterable
from math import floor
from typing import Any

from pipeline.deepfake.followed import KEPT_FACES, FollowedFaces
from pipeline.media import MediaInfo
from pipeline.pipelines.base import Params, Row
from pipeline.pipelines.timeline import SAMPLED_FIELDS, Curve, Sampled, Stretches

#: faces that the summary tells, the heaviest
TOLD_FACES = 100
WORST_MOMENTS = 5

SUMMARY_FIELDS = {
    **SAMPLED_FIELDS,
    "label": "fake: a face that counts is; real: all that count are; uncertain: neither; no_face: there is none.",
    "score": "P(fake) of the face that looks most fake of those that count; null without a face.",
    "faces_found": "Faces followed over time; one gone for longer than track_gap_seconds comes back as another.",
    "faces": "Per face, heaviest first, at most 100: label (uncertain whatever the score where quality is under "
    "min_quality), track, score (mean over its frames, weighted by size and sharpness, but for a tenth of the weight "
    "at either end), low and high (weighted quantiles 0.1 and 0.9), weight (summed), quality (weight per frame; 1: as "
    "large and sharp as the classifier needs), frames, first_seconds, last_seconds, box (where last seen), counts "
    "(whether it decides on the whole: min_quality reached unless nobody does, a tenth of the heaviest one's weight or "
    "more and, in a video of more than 3 frames, found more than once).",
    "curve": "bin_seconds, and points: seconds, score (weighted mean of the faces then; null without one), peak "
    "(highest score of a face, likewise), faces (most at once); at most 600.",
    "worst": "The five highest scores, at most one per face and second: index and seconds of the frame, track, score, "
    "weight, box.",
    "seconds_with_faces": "How long at least one face was in the picture.",
    "truncated": "Names of the lists above that hold only their first entries.",
}


def label_of(score: float, quality: float, params: Params) -> str:
    """Return fake, real or uncertain for P(fake) of a face; of too small or blurred a one nothing can be told."""
    if quality < params["min_quality"]:
        return "uncertain"
    if score >= params["fake_above"]:
        return "fake"
    return "real" if score <= params["real_below"] else "uncertain"


def summarize_faces(rows: Iterable[Row], media: MediaInfo, params: Params) -> dict[str, Any]:
    """Return the summary; see ``SUMMARY_FIELDS``."""
    followed, worst, sampled, curve = FollowedFaces(params), _Worst(), Sampled(), Curve()
    present = Stretches(max_entries=0)
    for row in rows:
        seconds, faces = row["pts_seconds"], row["faces"]
        sampled.add(row)
        present.add(seconds, True if faces else None)
        curve.add(seconds, _point(faces))
        for track, one in zip(followed.step(seconds, faces), faces, strict=True):
            worst.add(row, track, one)
    present.finish(sampled.end_within(media.duration_seconds))
    found = [
        {"label": label_of(one["score"], one["quality"], params), **one} for one in followed.finish(sampled.frames)
    ]
    return {
        **sampled.told(media),
        **_verdict([one for one in found if one["counts"]]),
        "faces_found": followed.count,
        "faces": found[:TOLD_FACES],
        "curve": {"bin_seconds": curve.bin_seconds, "points": [_told(*point) for point in curve.points()]},
        "worst": worst.told(),
        "seconds_with_faces": round(present.seconds.get(True, 0.0), 3),
        "truncated": ["faces"] if followed.count > min(TOLD_FACES, KEPT_FACES) else [],
    }


def _verdict(counting: list[dict[str, Any]]) -> dict[str, Any]:
    labels = {one["label"] for one in counting}
    if not labels:
        return {"label": "no_face", "score": None}
    label = "fake" if "fake" in labels else "real" if labels == {"real"} else "uncertain"
    return {"label": label, "score": max(one["score"] for one in counting)}


def _point(faces: list[dict[str, Any]]) -> dict[str, float]:
    """Return one frame's part of the curve: ``weighted`` / ``weight`` of a bin is the weighted mean of its scores."""
    if not faces:
        return {"faces": 0}
    return {
        "faces": len(faces),
        "weight": sum(one["weight"] for one in faces),
        "weighted": sum(one["weight"] * one["score"] for one in faces),
        "peak": max(one["score"] for one in faces),
    }


def _told(seconds: int, means: dict[str, float], peaks: dict[str, float]) -> dict[str, Any]:
    score = round(means["weighted"] / means["weight"], 4) if "weight" in means else None
    return {"seconds": seconds, "score": score, "peak": peaks.get("peak"), "faces": int(peaks["faces"])}


class _Worst:
    """The highest scores, at most one per face and second; holds a few times as many as are told."""

    def __init__(self) -> None:
        self._best: dict[tuple[int, int], dict[str, Any]] = {}

    def add(self, row: Row, track: int, face: dict[str, Any]) -> None:
        """Note one face of one row. A repeated result is no moment of its own."""
        if row.get("carried_from") is not None:
            return
        place = (track, floor(row["pts_seconds"]))
        known = self._best.get(place)
        if known is None or (face["score"], face["weight"]) > (known["score"], known["weight"]):
            self._best[place] = {
                "index": row["index"],
                "seconds": round(row["pts_seconds"], 3),
                "track": track,
                **{name: face[name] for name in ("score", "weight", "box")},
            }
        if len(self._best) > 10 * WORST_MOMENTS:
            # What falls out now is below five others, which can only rise.
            self._best = dict(self._ranked())

    def told(self) -> list[dict[str, Any]]:
        """Return the worst moments, highest score first; of equal ones the heavier, then the earlier."""
        return [one for _, one in self._ranked()]

    def _ranked(self) -> list[tuple[tuple[int, int], dict[str, Any]]]:
        ranked = sorted(
            self._best.items(), key=lambda item: (-item[1]["score"], -item[1]["weight"], item[1]["index"], item[0])
        )
        return ranked[:WORST_MOMENTS]
