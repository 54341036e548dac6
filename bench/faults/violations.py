"""What can be found wrong, and how it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.faults.history import Event

#: rule -> what it says of a system that keeps it
RULES: Mapping[str, str] = {
    "job.lost": "Every acknowledged job exists.",
    "job.doubled": "One idempotency key makes one job.",
    "job.stranger": "No job exists that nobody asked for.",
    "job.unended": "Every job has come to a terminal state.",
    "job.remains": "Of an erased job nothing is left.",
    "end.twice": "A run ends once, in one state.",
    "end.unfounded": "A run ends dead only when a segment of it was given up.",
    "terminal.left": "Nothing happens to a run after its end but a recorded replay.",
    "replay.unended": "Only a run that has ended is replayed, and each replay is the next run.",
    "claim.overlap": "A segment is claimed only while no other claim holds it.",
    "claim.again": "A segment that has ended is not claimed again.",
    "finish.twice": "At most one result is accepted per job, run and segment.",
    "finish.replaced": "No outcome is accepted of a claim that had been replaced.",
    "finish.unheld": "No outcome is accepted of a claim that does not hold the segment in this run.",
    "executions.excess": "A segment runs again only for a charged failure, an injected kill or an uncharged return.",
    "merge.wrong": "A run is merged once, when every segment has ended.",
    "success.gap": "A run that succeeded has a summary, and each segment is done or named as missing.",
    "result.missing": "The result that a segment names is there.",
    "result.corrupt": "Its SHA-256 is the one that was accepted.",
    "result.foreign": "It was written by the claim whose finish was accepted.",
    "result.short": "A job that succeeded has as many rows as its input has frames.",
    "books.disagree": "Rows say what the history says.",
    "answer.wrong": "What the API answers is what the row says.",
    "state.went_back": "Runs and states that clients see only go forward.",
    "progress.fell": "Progress that clients see never falls within a run.",
}


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule, where, and the events that show it."""

    rule: str
    message: str
    job_id: str | None = None
    run: int | None = None
    segment_id: str | None = None
    claim_id: str | None = None
    events: Sequence[Event] = ()

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"no rule {self.rule}")

    def __str__(self) -> str:
        places = (("job", self.job_id), ("run", self.run), ("segment", self.segment_id), ("claim", self.claim_id))
        place = ", ".join(f"{name} {value}" for name, value in places if value is not None)
        return "\n    ".join([f"{self.rule}: {self.message} ({place})", *map(str, self.events)])


def of_event(rule: str, message: str, event: Event, *others: Event | None) -> Violation:
    """A violation that an event commits; the others show why it is one."""
    shown = sorted((one for one in (*others, event) if one is not None), key=lambda one: one.id)
    return Violation(rule, message, event.job_id, event.run, event.segment_id, event.claim_id, shown)
