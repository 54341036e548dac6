"""Why a job waits, and how long that may take: pure functions of what the queue looks like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from storage.depth import Depth
from storage.fleet import Fleet
from storage.job import Job, JobState
from storage.jobs import QueuePlace
from web.catalog import Remembered


@dataclass(frozen=True, slots=True)
class Scene:
    """The queue around a job."""

    #: live workers per (lane, size_class)
    workers: Mapping[tuple[str, str], int]
    #: what is paused: (kind, name)
    paused: frozenset[tuple[str, str]]


class Situation:
    """The scene, remembered for a few seconds: every poll asks for it."""

    def __init__(self, depth: Depth, fleet: Fleet) -> None:
        self._scene = Remembered(
            lambda: Scene(fleet.live_by_lane(), frozenset((pause["kind"], pause["name"]) for pause in depth.pauses()))
        )

    def scene(self) -> Scene:
        """Return the scene of the last few seconds. Raises: DatabaseUnavailable."""
        return self._scene.get()


def waiting_for(job: Job, scene: Scene, now: datetime | None = None) -> str | None:
    """Say what an unstarted job waits for: input, time, resume, worker or turn; None when it waits for nothing."""
    if job.state is JobState.UPLOADING:
        return "input"
    if job.state is not JobState.QUEUED:
        return None
    if job.run_after is not None and job.run_after > (now or datetime.now(UTC)):
        return "time"
    if {("pipeline", job.pipeline), ("lane", job.lane), ("tenant", job.tenant)} & scene.paused:
        return "resume"
    if not scene.workers.get((job.lane, job.size_class)):
        return "worker"
    return "turn"


def eta_seconds(job: Job, place: QueuePlace | None, scene: Scene, now: datetime | None = None) -> float | None:
    """Guess the seconds until a job ends; None when nothing can be said.

    Queued: the cost ahead shared by the lane's workers, and its own. Running: what its progress so far promises.
    """
    now = now or datetime.now(UTC)
    workers = scene.workers.get((job.lane, job.size_class), 0)
    if job.state is JobState.QUEUED and place is not None and workers:
        return round(place.seconds_ahead / workers + job.cost_seconds, 1)
    if job.state is JobState.RUNNING and job.started_at is not None and job.progress > 0:
        elapsed = (now - job.started_at).total_seconds()
        return round(max(0.0, elapsed * (1 - job.progress) / job.progress), 1)
    return None


def retry_after_seconds(eta: float | None) -> int:
    """How long a polling client should wait before it looks again."""
    return 2 if eta is None else max(1, min(10, int(eta / 4)))
