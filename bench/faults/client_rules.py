"""What is judged from the clients' side: jobs they were promised, and documents they were shown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Protocol

from bench.faults.history import History
from bench.faults.job_life import ENDS, JobLife
from bench.faults.violations import Violation


class Sample(Protocol):
    """A job document as a client saw it; both instants by the client's one clock."""

    @property
    def asked_at(self) -> float:
        """When the request was sent."""

    @property
    def at(self) -> float:
        """When the answer had come."""

    @property
    def job_id(self) -> str: ...

    @property
    def run(self) -> int: ...

    @property
    def state(self) -> str: ...

    @property
    def terminal(self) -> bool: ...

    @property
    def progress(self) -> float: ...


def promised(
    history: History, acknowledged: Mapping[str, Collection[str]], attempted: Collection[str] | None,
    erased: Collection[str],
) -> Iterator[Violation]:  # fmt: skip
    """Every acknowledged job is there, once; nobody else is."""
    for key, ids in acknowledged.items():
        if len(ids) > 1:
            yield Violation("job.doubled", f"key {key} was answered with {sorted(ids)}")
        for job_id in set(ids) - set(erased):
            if job_id not in history.jobs:
                yield Violation("job.lost", f"acknowledged for key {key}, and not there", job_id)
    yield from _unasked(history, acknowledged, attempted)
    for job_id in erased:
        if job_id in history.jobs or history.segments.get(job_id) or history.events.get(job_id):
            yield Violation("job.remains", "erased, and still there", job_id, events=history.events.get(job_id, [])[:1])
    for job_id, events in history.events.items():
        if job_id not in history.jobs and job_id not in erased:
            yield Violation("job.lost", "has a history and no row", job_id, events=events[-3:])


def _unasked(
    history: History, acknowledged: Mapping[str, Collection[str]], attempted: Collection[str] | None
) -> Iterator[Violation]:
    """A request that broke off may have made a job or not; its key tells whose it is. Batches make their own."""
    if attempted is None:
        return
    known = {job_id for ids in acknowledged.values() for job_id in ids}
    keys = set(attempted) | acknowledged.keys()
    for job in history.jobs.values():
        if job.id not in known and job.batch_id is None and job.idempotency_key not in keys:
            yield Violation("job.stranger", f"key {job.idempotency_key} was never sent", job.id)


def shown(samples: Iterable[Sample], lives: Mapping[str, JobLife], erased: Collection[str]) -> Iterator[Violation]:
    """Clients only saw what was, and saw it go forward."""
    by_job: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_job[sample.job_id].append(sample)
    for job_id, of_job in by_job.items():
        if job_id in erased:
            continue
        life = lives.get(job_id)
        if life is None:
            yield Violation("answer.wrong", f"{len(of_job)} documents of a job that is not there", job_id)
            continue
        for sample in of_job:
            yield from _true(sample, life)
        yield from _forward(of_job)


def _true(sample: Sample, life: JobLife) -> Iterator[Violation]:
    told = f"a client saw run {sample.run} {sample.state} at {sample.progress:.0%}"
    end = life.ends.get(sample.run)
    had = life.states.get(sample.run, set())
    if sample.terminal != (sample.state in ENDS):
        yield Violation("answer.wrong", f"{told}, terminal: {sample.terminal}", sample.job_id, sample.run)
    elif sample.state not in had or (sample.state in ENDS and (end is None or end.kind != sample.state)):
        why = f"; it was {', '.join(sorted(had)) or 'never begun'}"
        yield Violation("answer.wrong", told + why, sample.job_id, sample.run, events=[end] if end else [])
    elif not 0 <= sample.progress <= 1 or (sample.state == "succeeded") != (sample.progress == 1):
        yield Violation("answer.wrong", told, sample.job_id, sample.run)


def _forward(samples: list[Sample]) -> Iterator[Violation]:
    """Of two answers, one of which had come before the other was asked for, the second is not behind the first.

    Answers that overlap in time may come in any order: the server may have read either row first.
    """
    by_answer = sorted(samples, key=attrgetter("at"))
    seen = 0
    newest: Sample | None = None
    furthest: Sample | None = None
    for later in sorted(samples, key=attrgetter("asked_at")):
        while seen < len(by_answer) and by_answer[seen].at < later.asked_at:
            before = by_answer[seen]
            newest = before if newest is None or _stage(before) > _stage(newest) else newest
            furthest = before if furthest is None or _done(before) > _done(furthest) else furthest
            seen += 1
        if newest is not None and _stage(later) < _stage(newest):
            told = f"run {newest.run} {newest.state}, and after it run {later.run} {later.state}"
            yield Violation("state.went_back", told, later.job_id, later.run)
        elif furthest is not None and later.run == furthest.run and later.progress < furthest.progress:
            told = f"{furthest.progress:.4f}, and after it {later.progress:.4f}"
            yield Violation("progress.fell", told, later.job_id, later.run)


def _stage(sample: Sample) -> tuple[int, int]:
    """Queued and running may alternate; the input comes before, the end after."""
    return sample.run, 2 if sample.state in ENDS else 0 if sample.state == "uploading" else 1


def _done(sample: Sample) -> tuple[int, float]:
    return sample.run, sample.progress
