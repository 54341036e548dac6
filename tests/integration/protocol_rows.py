"""What the model of the protocol keeps: jobs and segments as their rows have them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ENDED = ("succeeded", "failed", "dead", "canceled")
OPEN = ("waiting", "ready", "claimed")
#: where a segment stands in its job
Place = tuple[str, int, str, int]


class Impossible(Exception):
    """What was observed does not follow from this state."""


class Refused(Exception):
    """The operation is answered with an error of this name."""


def expect(truth: object, told: object = "") -> None:
    if not truth:
        raise Impossible(told)


@dataclass
class Job:
    id: str
    tenant: str
    batch_key: str
    size_class: str
    max_attempts: int
    allow_partial: bool
    state: str
    expired: bool
    #: not to be started before its time
    delayed: bool
    params: int = 0
    #: its input is in the store
    arrived: bool = True
    run: int = 1
    started: bool = False
    attempts: int = 0
    total: int = 0
    left: int = 0
    frames: int = 0
    missing: list[int] = field(default_factory=list)

    def view(self) -> tuple[Any, ...]:
        return self.run, self.state, self.attempts, self.total, self.left, self.frames, tuple(self.missing)


@dataclass
class Segment:
    job: str
    run: int
    kind: str
    index: int
    state: str = "ready"
    solo: bool = False
    attempts: int = 0
    holdups: int = 0
    losses: int = 0
    claim: str | None = None
    worker: str | None = None
    claim_size: int = 0
    due: bool = False
    #: claimed so long ago that its worker must know of it
    old: bool = False
    #: as the database calls it, once it was seen
    id: str | None = None

    @property
    def place(self) -> Place:
        return self.job, self.run, self.kind, self.index

    def view(self) -> tuple[Any, ...]:
        return self.state, self.solo, self.attempts, self.holdups, self.losses, self.claim, self.worker

    def free(self, state: str) -> None:
        self.state, self.claim, self.worker = state, None, None
