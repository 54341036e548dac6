"""What a worker process works with, wired once in ``bootstrap`` and passed down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.cage import Cage
from pipeline.models.base import ModelShelf
from pipeline.pipelines.base import Pipeline
from storage.claims import Claims
from storage.job import Rows, SegmentState
from storage.model_rows import Pins
from storage.objects.port import ObjectStore, Tick, no_tick
from workers.flags import SharedFlags
from workers.heartbeat import Pulse
from workers.scratch import Scratch
from workers.watchdog import Watchdog


class Part(Protocol):
    """A finished infer segment, as a merge reads it."""

    @property
    def state(self) -> SegmentState:
        """Where it stands."""

    @property
    def rows(self) -> Rows | None:
        """Where its rows lie."""


class Parts(Protocol):
    """Where a merge finds what it merges; ``JobStore`` is one."""

    def segment_results(self, job_id: str, run: int) -> Sequence[Part]:
        """Infer segments of a run in order of time."""


class Ringer(Protocol):
    """``Doorbell``, as a runner uses it."""

    def ring(self, lane: str, size_class: str, count: int = 1) -> None:
        """Say that there is work."""

    def heard(self, timeout_seconds: float) -> bool:
        """Whether Redis has taken every ring so far."""


class Teller(Protocol):
    """``Hints``, as a runner uses it."""

    def tell(self, job_id: str) -> None:
        """Say that a job has changed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Numbers a runner keeps to; see ``WorkerSettings``."""

    lanes: Sequence[str] = ("cpu",)
    size_classes: Sequence[str] = ("short", "long")
    batch_size: int = 8
    claim_size: int = 8
    shift_seconds: float = 2.0
    segment_seconds: float = 30.0
    #: longest a claim of a pipeline may run, where it is not what the pipeline itself says
    max_runtimes: Mapping[str, float] = field(default_factory=dict)
    stall_seconds: float = 120.0
    load_seconds: float = 900.0
    #: no claims for this long after the store or the database failed
    rest_seconds: float = 5.0
    inline_rows_bytes: int = 16 * 1024
    #: of larger videos, a segment reads only what it needs
    parts_above_bytes: int = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class Station:
    """Every collaborator of a runner."""

    claims: Claims
    parts: Parts
    objects: ObjectStore
    scratch: Scratch
    pipelines: Mapping[str, Pipeline]
    cage: Cage
    shelf: ModelShelf
    doorbell: Ringer
    hints: Teller
    pulse: Pulse
    watchdog: Watchdog
    flags: SharedFlags
    limits: Limits
    #: the shelf as a job with these pins sees it; without: every job has what the folders hold
    pinned: Callable[[Pins, Tick], ModelShelf] | None = None

    def shelf_for(self, pins: Pins, tick: Tick = no_tick) -> ModelShelf:
        """Return the shelf of a job's exact versions; ``tick``: see ``VersionShelf.pinned``."""
        return self.shelf if self.pinned is None else self.pinned(pins, tick)

    def max_runtime_seconds(self, pipeline: str) -> float:
        """Longest a claim of this pipeline may run."""
        return self.limits.max_runtimes.get(pipeline, self.pipelines[pipeline].spec.max_runtime_seconds)
