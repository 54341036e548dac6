"""The books of the model: what outcomes do to jobs and segments, and how both are seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from storage.job import ClaimedSegment, Done, Failed, GiveBack, Outcome, Retry
from tests.integration.protocol_rows import OPEN, Job, Place, Refused, Segment, expect


@dataclass
class Books:
    """Jobs and segments, and the changes that several operations share."""

    jobs: dict[str, Job] = field(default_factory=dict)
    segments: list[Segment] = field(default_factory=list)
    workers: dict[str, str] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    pauses: set[tuple[str, str]] = field(default_factory=set)
    keys: dict[str, str] = field(default_factory=dict)

    def view(self) -> tuple[dict[str, Any], dict[Place, Any], dict[str, str]]:
        jobs = {job.id: job.view() for job in self.jobs.values()}
        return jobs, {segment.place: segment.view() for segment in self.segments}, dict(self.workers)

    def learn(self, ids: Mapping[Place, str]) -> None:
        """Take over how the database calls the segments."""
        for segment in self.segments:
            segment.id = ids[segment.place]

    def named(self, segment_id: str) -> Segment | None:
        return next((one for one in self.segments if one.id == segment_id), None)

    def _may_expire(self, job: Job) -> bool:
        return job.expired and job.state in ("uploading", "queued") and not job.started

    def _job(self, job_id: str) -> Job:
        if job_id not in self.jobs:
            raise Refused("JobNotFound")
        return self.jobs[job_id]

    def _enqueue(self, job: Job) -> None:
        self.segments.append(Segment(job.id, job.run, "plan", 0, "waiting" if job.delayed else "ready"))

    def _merge(self, job: Job) -> None:
        self.segments.append(Segment(job.id, job.run, "merge", 0))

    def _planned(self, one: Segment, count: int) -> None:
        job = self.jobs[one.job]
        job.total = job.left = count

    def _claimable(self, one: Segment, paused: set[tuple[str, str]]) -> bool:
        names = {("tenant", self.jobs[one.job].tenant), ("pipeline", "motion"), ("lane", "cpu")}
        return one.state == "ready" and not names & paused

    def _sociable(self, one: Segment) -> bool:
        return not one.solo and one.kind != "merge" and self.jobs[one.job].size_class == "short"

    def _alike(self, one: Segment) -> tuple[str, str]:
        return self.jobs[one.job].batch_key, one.kind

    def _told_right(self, one: Segment, told: ClaimedSegment) -> None:
        job = self.jobs[one.job]
        expect((told.solo, told.attempts, told.holdups) == (one.solo, one.attempts, one.holdups))
        expect((told.segments_total, told.params) == (job.total, {"stride": job.params}))

    def _settle(self, one: Segment, outcome: Outcome, ended: set[str], back: set[str]) -> None:
        job = self.jobs[one.job]
        one.due = False
        if isinstance(outcome, Done):
            one.state = "done"
            if one.kind == "infer":
                job.left -= 1
                job.frames += 1
            if one.kind == "merge" or job.total == 1:
                self._end(job, "succeeded")
                ended.add(job.id)
            elif job.left == 0:
                self._merge(job)
        elif isinstance(outcome, GiveBack):
            one.free("ready")
            back.add(job.id)
        elif isinstance(outcome, Retry):
            self._retry(one, outcome, ended, back)
        else:
            self._give_up(one, "failed" if isinstance(outcome, Failed) else "dead", ended)

    def _retry(self, one: Segment, outcome: Retry, ended: set[str], back: set[str]) -> None:
        job = self.jobs[one.job]
        one.attempts += outcome.charged
        job.attempts += outcome.charged
        if outcome.charged and one.attempts >= job.max_attempts:
            self._give_up(one, "dead", ended)
            return
        one.holdups = 0 if outcome.charged else one.holdups + 1
        one.solo = one.solo or outcome.solo
        one.free("waiting" if outcome.delay_seconds else "ready")
        back.add(job.id)

    def _give_up(self, one: Segment, end: str, ended: set[str]) -> None:
        job = self.jobs[one.job]
        one.free("dead")
        if job.allow_partial and one.kind == "infer" and job.total > 1:
            job.missing.append(one.index)
            job.left -= 1
            if len(job.missing) < job.total:
                if job.left == 0:
                    self._merge(job)
                return
        self._end(job, end)
        ended.add(job.id)

    def _settled(self, touched: Iterable[str], ended: set[str], back: set[str]) -> None:
        """A running job of which nobody has a segment in hand waits again; after a result only if none is ready."""
        for job_id in set(touched) - ended:
            busy = ("claimed",) if job_id in back else ("claimed", "ready")
            job = self.jobs[job_id]
            if job.state == "running" and not any(one.job == job_id and one.state in busy for one in self.segments):
                job.state = "queued"

    def _end(self, job: Job, state: str) -> None:
        job.state = state
        for one in self.segments:
            if one.job == job.id and one.state in OPEN:
                one.free("dropped")
