"""Faces followed through a video, each with its vote; memory does not grow with the video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.deepfake.votes import Vote
from pipeline.pipelines.base import Params
from pipeline.tracking import Tracker

#: faces kept for the end: the heaviest
KEPT_FACES = 1000
#: a face counts for the whole when its weight is at least this share of the heaviest one's
COUNTING_SHARE = 0.1
#: in a video of more sampled frames a face must be found more than once: a lone find is mostly something else
LONE_ABOVE_FRAMES = 3


class Face:
    """One face while it is followed."""

    def __init__(self, track: int, seconds: float) -> None:
        self.track = track
        self.first = self.last = seconds
        self.frames = 0
        self.box: Sequence[float] = ()
        self.vote = Vote()

    def told(self) -> dict[str, Any]:
        """Return what the summary tells of it, but for label and ``counts``."""
        return {
            "track": self.track,
            "score": round(self.vote.mean(), 4),
            "low": round(self.vote.quantile(0.1), 4),
            "high": round(self.vote.quantile(0.9), 4),
            "weight": round(self.vote.weight, 4),
            "quality": round(self.vote.weight / self.frames, 4),
            "frames": self.frames,
            "first_seconds": round(self.first, 3),
            "last_seconds": round(self.last, 3),
            "box": list(self.box),
        }


class FollowedFaces:
    """All faces of a video: those seen lately, and the heaviest of those that are gone."""

    def __init__(self, params: Params) -> None:
        self._min_quality: float = params["min_quality"]
        self._gap: float = params["track_gap_seconds"]
        self._tracker = Tracker(min_iou=params["track_iou"], max_gap_seconds=self._gap)
        self._clock = 0.0
        self._before: float | None = None
        self._present: dict[int, Face] = {}
        self._gone: list[dict[str, Any]] = []
        self.count = 0

    def step(self, seconds: float, faces: Sequence[Mapping[str, Any]]) -> list[int]:
        """Follow the faces of the next frame (box, score, weight); return the track of each."""
        # Where frames lie further apart than the gap, a face was not missed in between: nobody looked.
        if self._before is not None:
            self._clock += min(max(0.0, seconds - self._before), self._gap)
        self._before = seconds
        tracks = self._tracker.step(self._clock, [one["box"] for one in faces], ["face"] * len(faces))
        for track, one in zip(tracks, faces, strict=True):
            face = self._present.setdefault(track, Face(track, seconds))
            face.last, face.box = seconds, one["box"]
            face.frames += 1
            face.vote.add(one["score"], one["weight"])
            self.count = max(self.count, track + 1)
        alive = self._tracker.alive
        self._retire([face for track, face in self._present.items() if track not in alive])
        return tracks

    def finish(self, frames: int) -> list[dict[str, Any]]:
        """Return the faces kept, heaviest first, each with ``counts``. frames: how many were sampled."""
        self._retire(list(self._present.values()))
        self._cut(KEPT_FACES)
        lone = 1 if frames > LONE_ABOVE_FRAMES else 0
        faces = [one for one in self._gone if one["frames"] > lone]
        # Where nobody can be judged, all stay: there are faces, of whom nothing is known.
        judged = [one for one in faces if one["quality"] >= self._min_quality] or faces
        least = COUNTING_SHARE * max((one["weight"] for one in judged), default=0.0)
        counting = {one["track"] for one in judged if one["weight"] >= least}
        return [{**one, "counts": one["track"] in counting} for one in self._gone]

    def _retire(self, faces: Sequence[Face]) -> None:
        for face in faces:
            del self._present[face.track]
            self._gone.append(face.told())
        if len(self._gone) > 2 * KEPT_FACES:
            self._cut(KEPT_FACES)

    def _cut(self, count: int) -> None:
        self._gone.sort(key=lambda one: (-one["weight"], one["track"]))
        del self._gone[count:]
