"""Count each thing once: tracks within a scene, the best scene of a video.

Within a scene a thing is a chain of tracks: a track that begins where a thing was last seen is that thing again. Its
label is the one with the highest summed score. Between cuts nothing tells one apple from another, so scenes are not
added up: the scene that shows most of a food counts. See docs/pipelines/nutrition.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.nutrition.amount import Amount
from pipeline.nutrition.sighting import plate_side
from pipeline.nutrition.spread import Spread
from pipeline.pipelines.base import Row
from pipeline.tracking import Tracker, overlaps

#: frames in which a thing must be seen, where there are so many: fewer are flicker
STEADY_FRAMES = 3
#: how much a new track must overlap a thing's last place to be it
SAME_PLACE = 0.3
MAX_GAP_SECONDS = 1.0
#: things remembered in one scene; beyond, the ones seen least are let go
MAX_THINGS = 1000


@dataclass(slots=True)
class Thing:
    """One thing of one scene. areas: of its outline, in squares of the plate's long side, where a plate was seen."""

    kind: str
    box: Sequence[float] = ()
    seconds: float = 0.0
    #: of its middle, in pixels a second
    velocity: tuple[float, float] = (0.0, 0.0)
    frames: int = 0
    scores: dict[str, float] = field(default_factory=dict)
    bunch: Counter[int] = field(default_factory=Counter)
    areas: Spread = field(default_factory=Spread)
    masked: bool = False
    best: dict[str, Any] = field(default_factory=dict)
    #: frames of each track it is made of
    tracks: Counter[int] = field(default_factory=Counter)

    @property
    def label(self) -> str:
        """The label with the highest summed score, the first by name of equal ones."""
        return min(self.scores, key=lambda name: (-self.scores[name], name))

    def see(self, item: Mapping[str, Any], track: int, row: Row, plate: float | None) -> None:
        """Take in one sighting."""
        self._move(item["box"], row["pts_seconds"])
        self.frames += 1
        self.tracks[track] += 1
        self.scores[item["label"]] = self.scores.get(item["label"], 0.0) + item["score"]
        self.bunch[item.get("bunch", 1)] += 1
        self.masked = item["masked"]
        if plate:
            self.areas.add(item["area"] / plate**2)
        if not self.best or item["score"] > self.best["score"]:
            self.best = {key: item[key] for key in ("score", "box")} | {
                "index": row["index"],
                "seconds": round(row["pts_seconds"], 3),
            }

    def place_at(self, seconds: float) -> list[float]:
        """Return the box where it should be now: further on if it was seen just before, else where it was seen last."""
        passed = seconds - self.seconds
        if passed > MAX_GAP_SECONDS:
            passed = 0.0
        x, y, width, height = self.box
        return [x + self.velocity[0] * passed, y + self.velocity[1] * passed, width, height]

    def _move(self, box: Sequence[float], seconds: float) -> None:
        passed = seconds - self.seconds
        self.velocity = (0.0, 0.0)
        if self.frames and 0 < passed <= MAX_GAP_SECONDS:
            across, down = (box[axis] + box[axis + 2] / 2 - self.box[axis] - self.box[axis + 2] / 2 for axis in (0, 1))
            self.velocity = (across / passed, down / passed)
        self.box, self.seconds = box, seconds


class Scene:
    """What was seen between two cuts."""

    def __init__(self) -> None:
        self.frames = 0
        #: whether things had to be let go
        self.truncated = False
        self._things: list[Thing] = []
        #: track -> the thing it shows; forgotten when the tracker forgets the track
        self._current: dict[int, Thing] = {}
        self._tracker = Tracker(min_iou=SAME_PLACE, max_gap_seconds=MAX_GAP_SECONDS)
        #: label -> how many at once -> frames; of items, containers and unknown food
        self._at_once: dict[tuple[str, str], Counter[int]] = {}

    def add(self, row: Row) -> None:
        """Take in the next frame."""
        self.frames += 1
        plate, seconds, items = plate_side(row), row["pts_seconds"], row["items"]
        kinds = [_kind(one) for one in items]
        tracks = self._tracker.step(seconds, [one["box"] for one in items], kinds)
        self._current = {track: thing for track, thing in self._current.items() if track in self._tracker.alive}
        seen = {id(self._current[track]) for track in tracks if track in self._current}
        for item, kind, track in zip(items, kinds, tracks, strict=True):
            thing = self._current.get(track) or self._thing_at(item["box"], kind, seconds, seen)
            seen.add(id(thing))
            self._current[track] = thing
            thing.see(item, track, row, plate)
        for kind, labels in _by_kind(row).items():
            for label, count in Counter(labels).items():
                self._at_once.setdefault((kind, label), Counter())[count] += 1

    def _thing_at(self, box: Sequence[float], kind: str, seconds: float, seen: set[int]) -> Thing:
        """Return the thing that should be at this place and that this frame has not shown yet, or a new one."""
        free = [thing for thing in self._things if thing.kind == kind and id(thing) not in seen]
        if free:
            shares = overlaps([box], [thing.place_at(seconds) for thing in free])[0]
            place = int(shares.argmax())
            if shares[place] >= SAME_PLACE:
                return free[place]
        if len(self._things) >= MAX_THINGS:
            self._things.sort(key=lambda thing: -thing.frames)
            del self._things[MAX_THINGS // 2 :]
            self.truncated = True
        self._things.append(Thing(kind))
        return self._things[-1]

    @property
    def steady(self) -> int:
        """In how many frames a thing of this scene must be seen to count."""
        return min(STEADY_FRAMES, self.frames)

    def things(self) -> dict[str, list[Thing]]:
        """Return the things that were seen steadily, by label."""
        found: dict[str, list[Thing]] = {}
        for thing in self._things:
            if thing.frames >= self.steady:
                found.setdefault(thing.label, []).append(thing)
        return found

    def at_once(self, kind: str, label: str) -> int:
        """Return the largest number of a label that at least ``steady`` frames showed at once."""
        counts = self._at_once.get((kind, label), Counter())
        enough = [n for n in counts if sum(frames for more, frames in counts.items() if more >= n) >= self.steady]
        return max(enough, default=0)

    def count(self, label: str, things: Sequence[Thing]) -> Amount:
        """Return how many there are: low at once, high if each track that was lost and came back was another."""
        tracks = sum(1 for thing in things for frames in thing.tracks.values() if frames >= self.steady)
        low = min(self.at_once("items", label), len(things))
        return Amount(low, len(things), max(tracks, len(things)))

    def labels(self, kind: str) -> Iterable[str]:
        """Return the labels of containers or of unknown food that were seen."""
        return sorted(label for found, label in self._at_once if found == kind)


def _kind(item: Mapping[str, Any]) -> str:
    """Return what only like things are tracked by: a heap's outline goes around the pieces that lie in it."""
    return str(item["label"]) if item["masked"] else "food"


def _by_kind(row: Row) -> dict[str, list[str]]:
    return {
        "items": [one["label"] for one in row["items"]],
        "containers": [one["label"] for one in row["containers"]],
        "unknown": [one["label"] for one in row["unknown"]],
        "unnamed": [one["label"] for one in row["containers"] if one.get("named") is False],
    }
