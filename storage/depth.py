"""How full the queue is, for /v1/queue, metrics and operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage.database import Database


@dataclass(frozen=True, slots=True)
class LaneDepth:
    """One (lane, size_class)."""

    lane: str
    size_class: str
    waiting: int
    ready: int
    claimed: int
    oldest_ready_seconds: float | None
    cost_ahead_seconds: float


class Depth:
    """Counts, each one statement."""

    def __init__(self, database: Database) -> None:
        raise NotImplementedError

    def lanes(self) -> Sequence[LaneDepth]:
        """Every lane with unfinished segments."""
        raise NotImplementedError

    def jobs_by_state(self) -> Mapping[str, int]:
        """Jobs per state (estimated past 100,000)."""
        raise NotImplementedError

    def pauses(self) -> Sequence[Mapping[str, str]]:
        """What is paused: kind (pipeline, lane, tenant), name, since, by."""
        raise NotImplementedError

    def pause(self, kind: str, name: str, *, by: str) -> bool:
        """Stop claims of a pipeline, lane or tenant; False when it was paused already."""
        raise NotImplementedError

    def resume(self, kind: str, name: str) -> bool:
        """Undo ``pause``; False when it was not paused."""
        raise NotImplementedError
