"""Small histories made by hand: jobs that keep every promise, and the store that holds their results."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bench.faults.history import Event, History, JobRow, SegmentRow


@dataclass(frozen=True, slots=True)
class Kill:
    at: float
    worker_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """A document as a client saw it."""

    asked_at: float
    at: float
    job_id: str
    run: int
    state: str
    terminal: bool
    progress: float


@dataclass
class Store:
    """Digests by key."""

    digests: dict[str, str] = field(default_factory=dict)

    def sha256(self, key: str) -> str | None:
        return self.digests.get(key)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Told:
    """One job, told event by event; the rows are made to agree at the end."""

    def __init__(self, job_id: str, *, number: int = 1) -> None:
        self.id = job_id
        self.run = 1
        self.events: list[Event] = []
        self.rows: dict[str, SegmentRow] = {}
        self.store: dict[str, str] = {}
        self.job = JobRow(job_id, 1, "queued", f"key of {job_id}", None, 0, 0, 0, 0, 0.0, False, (), False)
        self._at = 1000.0 * number
        self.tell("submitted", state="queued")

    def tell(self, kind: str, segment: str | None = None, claim: str | None = None, **data: Any) -> Event:
        by = None if claim is None else f"worker of {claim}"
        self._at += 1.0
        named = (None if name is None else f"{self.id}/{name}" for name in (segment, claim))
        event = Event(0, self.id, self.run, kind, self._at, *named, by, data or None)
        self.events.append(event)
        return event

    def segment(self, name: str, kind: str = "infer", place: int = 0, state: str = "done") -> None:
        segment_id = f"{self.id}/{name}"
        self.rows[name] = SegmentRow(
            segment_id, self.id, self.run, place, kind, state, None, 1, None, None, None, None
        )  # fmt: skip

    def done(self, segment: str, claim: str, *, inline: bool = False, rows: int = 1) -> None:
        """Accepted, with one row in the row or in the store."""
        body = digest(f"{self.id}/{segment}/{claim}")
        key = None if inline else f"results/{self.id}/{self.run}/{self.id}/{segment}/{self.id}/{claim}.jsonl.gz"
        told = {"rows": rows, "sha256": body} | ({} if key is None else {"rows_key": key})
        self.tell("done", segment, claim, **told)
        if key is not None:
            self.store[key] = body
        self.rows[segment] = self.rows[segment]._replace(
            rows_count=rows, rows_sha256=body, rows_key=key, inline_sha256=body if inline else None
        )

    def end(self, state: str, **fields: Any) -> None:
        self.tell(state)
        self.job = self.job._replace(state=state, run=self.run, **fields)
        if state == "succeeded":
            self.job = self.job._replace(summed_up=True, progress=1.0)


def still(job_id: str, number: int) -> Told:
    """Held up, given back, charged once, then done."""
    told = Told(job_id, number=number)
    told.segment("s")
    for turn, end in enumerate(("held_up", "given_back", "retried")):
        told.tell("claimed", "s", f"c{turn}")
        told.tell("running", None, f"c{turn}")
        told.tell(end, "s", f"c{turn}", **({"charged": True} if end == "retried" else {}))
        told.tell("queued")
    told.tell("due", "s")
    told.tell("claimed", "s", "c4")
    told.tell("planned", "s", "c4", segments=1)
    told.done("s", "c4", inline=True)
    told.end("succeeded", segments_total=1, attempts=1, frames=1)
    return told


def killed(job_id: str, number: int) -> Told:
    """The host of its first claim was killed; what that claim said later was refused."""
    told = Told(job_id, number=number)
    told.segment("s")
    told.tell("claimed", "s", "c1")
    told.tell("planned", "s", "c1", segments=1)
    told.tell("lost", "s", "c1", code="worker.lost", charged=False)
    told.tell("claimed", "s", "c2")
    told.tell("refused", "s", "c1", outcome="done", reason="taken_over")
    told.done("s", "c2")
    told.end("succeeded", segments_total=1, frames=1)
    return told


def video(job_id: str, number: int) -> Told:
    """Three parts: one late but accepted, one missing, one done; then merged."""
    told = Told(job_id, number=number)
    told.segment("plan", "plan")
    told.tell("claimed", "plan", "c0")
    told.tell("planned", "plan", "c0", segments=3)
    for place in range(3):
        told.segment(f"p{place}", place=place)
    told.tell("claimed", "p0", "c1")
    told.tell("claimed", "p1", "c2")
    told.tell("claimed", "p2", "c3")
    told.tell("lost", "p0", "c1", charged=True)
    told.done("p0", "c1")
    told.tell("rejected", "p1", "c2", code="media.unreadable", missing=True)
    told.rows["p1"] = told.rows["p1"]._replace(state="dead")
    told.done("p2", "c3")
    told.segment("merge", "merge")
    told.tell("merging", "merge")
    told.tell("claimed", "merge", "c4")
    told.tell("done", "merge", "c4")
    told.end("succeeded", segments_total=3, missing=(1,), attempts=1, frames=2)
    return told


def replayed(job_id: str, number: int) -> Told:
    """Canceled with one of two parts done; the second run kept that, did the other and merged."""
    told = Told(job_id, number=number)
    told.segment("plan", "plan")
    told.tell("claimed", "plan", "c0")
    told.tell("planned", "plan", "c0", segments=2)
    told.segment("p0", place=0)
    told.segment("p1", place=1)
    told.tell("claimed", "p0", "c1")
    told.done("p0", "c1")
    told.tell("claimed", "p1", "c2")
    told.tell("canceled", dropped=1)
    told.run = 2
    told.tell("replayed", **{"from": "canceled", "kept": True})
    told.rows = {name: row._replace(run=2) for name, row in told.rows.items()}
    told.tell("claimed", "p1", "c3")
    told.done("p1", "c3")
    told.segment("merge", "merge")
    told.tell("merging", "merge")
    told.tell("claimed", "merge", "c4")
    told.tell("done", "merge", "c4")
    told.end("succeeded", segments_total=2, frames=2)
    return told


def afresh(job_id: str, number: int) -> Told:
    """Dead, then replayed with other parameters, all of it."""
    told = Told(job_id, number=number)
    told.segment("s", state="dropped")
    told.tell("claimed", "s", "c1")
    told.tell("planned", "s", "c1", segments=1)
    told.tell("buried", "s", "c1", charged=True)
    told.tell("dead")
    told.run = 2
    told.tell("replayed", **{"from": "dead", "kept": False})
    told.segment("t")
    told.tell("claimed", "t", "c2")
    told.tell("planned", "t", "c2", segments=1)
    told.done("t", "c2", inline=True)
    told.end("succeeded", segments_total=1, frames=1)
    return told


WAYS = (still, killed, video, replayed, afresh)


@dataclass
class Sound:
    """Jobs that keep every promise, and what the checker is given besides."""

    history: History
    store: Store
    acknowledged: dict[str, set[str]]
    kills: list[Kill]
    samples: list[Seen]
    expected_rows: dict[str, int]

    def given(self) -> dict[str, Any]:
        """The keyword arguments of ``check``."""
        return {
            "acknowledged": self.acknowledged,
            "attempted": set(self.acknowledged),
            "kills": self.kills,
            "objects": self.store,
            "samples": self.samples,
            "expected_rows": self.expected_rows,
        }

    def change_event(self, event: Event, *instead: Event) -> None:
        """Put these in the place of an event; none: leave it out."""
        events = self.history.events[event.job_id]
        place = events.index(event)
        events[place : place + 1] = list(instead)

    def change_job(self, job_id: str, **fields: Any) -> None:
        self.history.jobs[job_id] = self.history.jobs[job_id]._replace(**fields)

    def change_segment(self, segment_id: str, **fields: Any) -> None:
        for rows in self.history.segments.values():
            rows[:] = [row._replace(**fields) if row.id == segment_id else row for row in rows]


def sound(ways: Iterable[Any] = WAYS) -> Sound:
    """One job of each way, named for it and its place, side by side."""
    jobs = [way(f"{way.__name__}-{number}", number) for number, way in enumerate(ways, 1)]
    events = sorted((event for job in jobs for event in job.events), key=lambda event: event.at)
    history = History.of(
        (job.job for job in jobs),
        (row for job in jobs for row in job.rows.values()),
        (event._replace(id=number) for number, event in enumerate(events, 1)),
    )
    lost = [event for event in history.all_events() if event.kind == "lost"]
    return Sound(
        history,
        Store({key: digest for job in jobs for key, digest in job.store.items()}),
        {f"key of {job.id}": {job.id} for job in jobs},
        [Kill(event.at - 0.5, (str(event.worker_id),)) for event in lost],
        [sample for job in jobs for sample in _seen(job)],
        {job.id: job.job.frames for job in jobs},
    )


def _seen(job: Told) -> Iterable[Seen]:
    steps = [(1, "queued", False, 0.0), (job.run, job.job.state, True, job.job.progress)]
    return [Seen(10.0 * turn, 10.0 * turn + 1, job.id, *step) for turn, step in enumerate(steps)]
