"""What summaries are made of: bounded curves over time, and stretches in which something held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import floor
from typing import Any

from pipeline.media import MediaInfo

MAX_POINTS = 600
MAX_ENTRIES = 1000


@dataclass(slots=True)
class _Bin:
    frames: int = 0
    total: dict[str, float] = field(default_factory=dict)
    peak: dict[str, float] = field(default_factory=dict)

    def add(self, values: Mapping[str, float]) -> None:
        self.frames += 1
        for name, value in values.items():
            self.total[name] = self.total.get(name, 0.0) + value
            self.peak[name] = max(self.peak.get(name, value), value)

    def merge(self, other: _Bin) -> None:
        self.frames += other.frames
        for name, value in other.total.items():
            self.total[name] = self.total.get(name, 0.0) + value
            self.peak[name] = max(self.peak.get(name, other.peak[name]), other.peak[name])


class Curve:
    """Named values over time in at most ``max_points`` bins: one second wide, doubled whenever there are too many."""

    def __init__(self, max_points: int = MAX_POINTS) -> None:
        self._max_points = max_points
        self._bins: dict[int, _Bin] = {}
        self.bin_seconds = 1

    def add(self, seconds: float, values: Mapping[str, float]) -> None:
        """Add one frame's values; a name left out counts as 0 in the mean."""
        self._bins.setdefault(floor(seconds / self.bin_seconds), _Bin()).add(values)
        while len(self._bins) > self._max_points:
            self._widen()

    def points(self) -> list[tuple[int, dict[str, float], dict[str, float]]]:
        """Return (start in seconds, mean by name, peak by name) of each bin that holds a frame, in time order."""
        found = []
        for place in sorted(self._bins):
            one = self._bins[place]
            means = {name: total / one.frames for name, total in one.total.items()}
            found.append((place * self.bin_seconds, means, dict(one.peak)))
        return found

    def _widen(self) -> None:
        self.bin_seconds *= 2
        wider: dict[int, _Bin] = {}
        for place in sorted(self._bins):
            wider.setdefault(place // 2, _Bin()).merge(self._bins[place])
        self._bins = wider


class Pace:
    """How long each frame stands: until the next one, the last one as long as the one before it."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._last = 0.0
        self._gap = 0.0

    def step(self, seconds: float) -> None:
        """Go to the next frame."""
        if self._first is None:
            self._first = seconds
        else:
            self._gap = max(0.0, seconds - self._last)
        self._last = seconds

    @property
    def end_seconds(self) -> float:
        """When the last frame stops standing."""
        return self._last + self._gap

    def end_within(self, length_seconds: float | None) -> float:
        """When the last frame stops standing in an input of this length, None: not known; never after its end."""
        if length_seconds is None or self._first is None:
            return self.end_seconds
        return max(self._last, min(self.end_seconds, self._first + length_seconds))

    @property
    def span_seconds(self) -> float:
        """From the first frame to the end of the last; 0 for a single picture."""
        return 0.0 if self._first is None else self.end_seconds - self._first


#: what every summary of frames begins with, as ``Sampled`` tells it
SAMPLED_FIELDS: Mapping[str, str] = {
    "frames": "Frames sampled.",
    "inferred": "Frames of these that were looked at; under the adaptive sampler the others repeat the result of one "
    "before.",
    "duration_seconds": "Length of the input; 0 for a still.",
}


class Sampled(Pace):
    """Counts a job's rows and keeps their pace."""

    def __init__(self) -> None:
        super().__init__()
        self.frames = 0
        self._inferred = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """Go to the next row."""
        self.frames += 1
        self._inferred += row.get("carried_from") is None
        self.step(row["pts_seconds"])

    def told(self, media: MediaInfo) -> dict[str, Any]:
        """Return ``SAMPLED_FIELDS``; a length that the input does not tell is that of what was sampled."""
        length = media.duration_seconds if media.duration_seconds is not None else self.span_seconds
        return {"frames": self.frames, "inferred": self._inferred, "duration_seconds": round(length, 3)}


class Stretches:
    """Stretches of time in which a value stayed the same, None meaning nothing to tell.

    A stretch runs from its first frame to the first frame that differs. Kept are at most ``max_entries`` that last
    ``min_seconds`` or more (and the only frame of a still); ``seconds`` counts all of them by value.
    """

    def __init__(self, *, min_seconds: float = 0.0, max_entries: int = MAX_ENTRIES) -> None:
        self._min_seconds = min_seconds
        self._max_entries = max_entries
        self._value: Any = None
        self._from = 0.0
        self._frames = 0
        self.entries: list[dict[str, Any]] = []
        self.seconds: dict[Any, float] = {}
        self.truncated = False

    def add(self, seconds: float, value: Any) -> None:
        """Tell the next frame's time and value."""
        if value != self._value or not self._frames:
            self._close(seconds)
            self._value, self._from, self._frames = value, seconds, 0
        self._frames += 1

    def finish(self, end_seconds: float) -> list[dict[str, Any]]:
        """End the last stretch and return all: [{"from_seconds", "to_seconds", "value"}]."""
        self._close(end_seconds)
        self._value, self._frames = None, 0
        return self.entries

    def _close(self, seconds: float) -> None:
        if not self._frames or self._value is None:
            return
        length = max(0.0, seconds - self._from)
        self.seconds[self._value] = self.seconds.get(self._value, 0.0) + length
        if length < self._min_seconds and length > 0:
            return
        if len(self.entries) >= self._max_entries:
            self.truncated = True
            return
        self.entries.append(
            {"from_seconds": round(self._from, 3), "to_seconds": round(seconds, 3), "value": self._value}
        )


def spans(stretches: Stretches, end_seconds: float) -> list[dict[str, float]]:
    """Return finished stretches without their value: [{"from_seconds", "to_seconds"}]."""
    return [
        {"from_seconds": entry["from_seconds"], "to_seconds": entry["to_seconds"]}
        for entry in stretches.finish(end_seconds)
    ]
