"""The protocol in plain Python: what each operation does to jobs and segments when nothing else happens.

Written from the promises, not from the SQL: lists and loops, no locks. A method raises ``Impossible`` when what was
observed cannot have happened in this state.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from storage.claims import Heartbeat, Lost, Planned
from storage.fleet import MAX_LOSSES
from storage.job import Bury, Claim, Done, Failed, GiveBack, Outcome, Retry
from tests.integration.protocol_books import Books
from tests.integration.protocol_rows import ENDED, OPEN, Job, Refused, Segment, expect


@dataclass
class Model(Books):
    """Operations on the books, as clients, workers and the dispatcher do them."""

    def copy(self) -> Model:
        return copy.deepcopy(self)

    # what clients do

    def submit(self, job: Job, key: str | None) -> tuple[str, bool]:
        if key is not None and key in self.keys:
            return self.keys[key], False
        self.jobs[job.id] = copy.copy(job)
        if key is not None:
            self.keys[key] = job.id
        if job.arrived:
            self._enqueue(job)
        return job.id, True

    def attach(self, job_id: str) -> bool:
        job = self.jobs.get(job_id)
        if job is None or job.state != "uploading":
            return False
        job.state, job.arrived = "queued", True
        self._enqueue(job)
        return True

    def cancel(self, job_id: str) -> bool:
        job = self._job(job_id)
        if job.state in ENDED:
            return False
        self._end(job, "canceled")
        return True

    def erase(self, job_id: str) -> None:
        self._job(job_id)
        del self.jobs[job_id]
        self.segments = [one for one in self.segments if one.job != job_id]
        self.keys = {key: known for key, known in self.keys.items() if known != job_id}

    def replay(self, job_id: str, params: int | None) -> int:
        job = self._job(job_id)
        if job.state not in ENDED:
            raise Refused("StateConflict")
        of_run = [one for one in self.segments if one.job == job_id and one.run == job.run]
        parts = [one for one in of_run if one.kind == "infer"]
        whole = job.state == "succeeded" and not job.missing
        keeps = params in (None, job.params) and not whole and any(one.kind != "merge" for one in of_run)
        job.run, job.state = job.run + 1, "queued" if job.arrived else "uploading"
        job.started = job.expired = job.delayed = False
        job.attempts, job.missing = 0, []
        job.params = job.params if params is None else params
        if keeps:
            self._keep(job, of_run)
            job.left = sum(one.state != "done" for one in parts)
            if parts and job.left == 0:
                self._merge(job)
            return job.run
        for one in self.segments:
            if one.job == job_id:
                one.free("dropped")
        job.total = job.left = job.frames = 0
        if job.arrived:
            self._enqueue(job)
        return job.run

    def _keep(self, job: Job, of_run: Sequence[Segment]) -> None:
        self.segments = [one for one in self.segments if one not in of_run or one.kind != "merge"]
        for one in of_run:
            one.run = job.run
            if one.state != "done":
                one.free("ready")
                one.attempts = one.holdups = one.losses = 0

    # what workers do

    def may_claim(self, worker: str) -> set[tuple[str, str]] | None:
        """What is paused for a worker that may claim; None for one that may not.

        Looked up before rows are locked: a claim may slip in while its worker is declared lost. ``lose_silent`` finds
        it when the lease of that worker is over.
        """
        return set(self.pauses) if self.workers.get(worker) == "live" else None

    def take(
        self, found: Claim | None, worker: str, limit: int, paused: set[tuple[str, str]] | None, *, racing: bool
    ) -> None:
        """A claim may take less than there is only where another transaction had its hands on the rows."""
        open_to = [] if paused is None else [one for one in self.segments if self._claimable(one, paused)]
        if found is None:
            expect(racing or not open_to)
            return
        places = {one.place: one for one in open_to}
        taken = [places.get((one.job_id, one.run, one.kind, one.index)) for one in found.segments]
        segments = [one for one in taken if one is not None]
        expect(len(segments) == len(taken) <= limit)
        for segment, told in zip(segments, found.segments, strict=True):
            self._told_right(segment, told)
        if self._sociable(segments[0]):
            alike = [one for one in open_to if self._sociable(one) and self._alike(one) == self._alike(segments[0])]
            expect(all(one in alike for one in segments))
            expect(racing or len(segments) == min(limit, len(alike)))
        else:
            expect(len(segments) == 1)
        for one in segments:
            one.old = False
            one.state, one.claim, one.worker, one.claim_size, one.due = (
                "claimed", found.id, worker, len(segments), False,
            )  # fmt: skip

    def mark_running(self, found: Claim | None) -> None:
        for one in self.segments:
            if found is not None and one.claim == found.id and one.state == "claimed":
                job = self.jobs[one.job]
                if job.state in ("queued", "running"):
                    job.state, job.started = "running", True

    def plan(self, claim: Claim, parts: Mapping[str, int]) -> tuple[set[str], set[str], set[str]]:
        """Return which became infer, which made way, which were not held."""
        infers, cut, lost = set(), set(), set()
        for segment_id, count in parts.items():
            one = self.named(segment_id)
            if one is None or one.claim != claim.id or one.state not in ("claimed", "done"):
                lost.add(segment_id)
            elif one.state == "done":
                cut.add(segment_id)
            elif one.kind == "plan" and count > 1:
                cut.add(segment_id)
                one.state = "done"
                self._planned(one, count)
                self.segments += [Segment(one.job, one.run, "infer", index) for index in range(count)]
            else:
                infers.add(segment_id)
                if one.kind == "plan":
                    one.kind = "infer"
                    self._planned(one, 1)
        return infers, cut, lost

    def finish(self, claim: Claim, outcomes: Sequence[Outcome]) -> dict[str, bool]:
        order = (Done, Failed, Bury, Retry, GiveBack)
        answers: dict[str, bool] = {}
        ended: set[str] = set()
        back: set[str] = set()
        touched: set[str] = set()
        for outcome in sorted(outcomes, key=lambda outcome: order.index(type(outcome))):
            one = self.named(outcome.segment_id)
            if one is None or one.claim != claim.id or one.state not in (*OPEN, "done"):
                answers[outcome.segment_id] = False
            elif one.state == "done":
                answers[outcome.segment_id] = isinstance(outcome, Done)
            else:
                answers[outcome.segment_id] = one.job not in ended
                if one.job not in ended:
                    touched.add(one.job)
                    self._settle(one, outcome, ended, back)
        self._settled(touched, ended, back)
        return answers

    def heartbeat(self, worker: str) -> tuple[bool, bool]:
        """Return draining and lost."""
        state = self.workers.get(worker)
        if state in ("live", "draining"):
            self.silent.discard(worker)
        return state == "draining", state not in ("live", "draining")

    def left_behind(self, worker: str, in_hand: Collection[str]) -> set[str]:
        """Claims that the worker has held for long without knowing of them."""
        mine = (one for one in self.segments if one.worker == worker and one.state == "claimed" and one.old)
        return {one.claim for one in mine if one.claim is not None and one.claim not in in_hand}

    def held(self, worker: str) -> frozenset[str]:
        mine = (one for one in self.segments if one.worker == worker and one.state in OPEN)
        return frozenset(one.claim for one in mine if one.claim is not None)

    # what happens to workers

    def register(self, worker: str) -> None:
        self.workers[worker] = "live"
        self.silent.discard(worker)

    def drain(self, worker: str) -> bool:
        able = self.workers.get(worker) in ("live", "draining")
        if able:
            self.workers[worker] = "draining"
        return able

    def leave(self, worker: str, state: str) -> None:
        if worker in self.workers:
            self.workers[worker] = state

    def fall_silent(self) -> None:
        for worker in self.silent:
            if self.workers[worker] in ("live", "draining"):
                self.workers[worker] = "lost"

    def orphaned(self) -> set[str]:
        holders = {one.worker for one in self.segments if one.state == "claimed" and one.worker is not None}
        gone = {worker for worker, state in self.workers.items() if state in ("lost", "stopped")}
        return holders & gone & self.silent | holders - self.workers.keys()

    def take_back(self, worker: str, why: str, claims: Collection[str] | None = None) -> tuple[int, int]:
        """Return how many were taken, and how many of those ended dead; ``why``: child, host or leave."""
        mine = [
            one
            for one in self.segments
            if one.worker == worker and one.state == "claimed" and (claims is None or one.claim in claims)
        ]
        buried = 0
        ended: set[str] = set()
        back: set[str] = set()
        for one in sorted(mine, key=lambda one: one.id or ""):
            if one.job in ended:
                continue
            if why == "leave":
                one.free("ready")
                back.add(one.job)
                continue
            alone, charged = one.claim_size == 1, why == "child" and one.claim_size == 1
            one.attempts += charged
            self.jobs[one.job].attempts += charged
            one.losses += why == "host"
            if one.losses >= MAX_LOSSES or (charged and one.attempts >= self.jobs[one.job].max_attempts):
                if one.losses >= MAX_LOSSES:
                    one.losses -= 1
                buried += 1
                self._give_up(one, "dead", ended)
                continue
            one.state = "ready"
            one.solo = one.solo or why == "child" or not alone
            back.add(one.job)
        self._settled({one.job for one in mine}, ended, back)
        return len(mine), buried

    def pause(self, kind: str, name: str) -> bool:
        fresh = (kind, name) not in self.pauses
        self.pauses.add((kind, name))
        return fresh

    def resume(self, kind: str, name: str) -> bool:
        known = (kind, name) in self.pauses
        self.pauses.discard((kind, name))
        return known

    def wake(self, but: Collection[str] = ()) -> None:
        for one in self.segments:
            if one.state == "waiting" and one.due and one.job not in but:
                one.state, one.due = "ready", False

    def expiring(self) -> set[str]:
        """Jobs past their time that nobody has begun on; looked up before they are ended."""
        begun = {one.job for one in self.segments if one.state in ("claimed", "done")}
        return {job.id for job in self.jobs.values() if self._may_expire(job)} - begun

    def expire(self, found: Collection[str]) -> int:
        due = [self.jobs[job_id] for job_id in found if job_id in self.jobs and self._may_expire(self.jobs[job_id])]
        for job in due:
            self._end(job, "failed")
        return len(due)


def told(lost: Lost) -> tuple[int, int]:
    return lost.segments, lost.buried


def sets(planned: Planned) -> tuple[set[str], set[str], set[str]]:
    return set(planned.infers), set(planned.cut), set(planned.lost)


def beat(answer: Heartbeat) -> tuple[bool, bool]:
    return answer.draining, answer.lost
