"""What is judged of one job: its events, its rows, its results, and how often each segment ran."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bench.faults.history import Event, JobRow, SegmentRow
from bench.faults.job_life import JobLife
from bench.faults.violations import Violation

#: a fault that was recorded this much after the loss it caused still explains it
SLACK_SECONDS = 2.0
#: why a segment may run once more
_AGAIN = frozenset({"retried", "held_up", "given_back", "lost"})
#: as the history's machine calls a segment -> the states its row may have
_ROW_STATES = {
    "free": {"waiting", "ready"},
    "kept": {"waiting", "ready"},
    "held": {"claimed"},
    "done": {"done"},
    "dead": {"dead"},
    "dropped": {"dropped"},
}


class Objects(Protocol):
    """A look into the object store."""

    def sha256(self, key: str) -> str | None:
        """The digest of an object's bytes; None when there is no such object."""


@dataclass(frozen=True, slots=True)
class Case:
    """What one job is judged by."""

    job: JobRow
    segments: Sequence[SegmentRow]
    events: Sequence[Event]


@dataclass(slots=True)
class Evidence:
    """What is known besides the job's own rows."""

    objects: Objects | None = None
    #: worker -> when it was hurt; None when nobody wrote it down, and losses need no explanation
    hurt: Mapping[str, Sequence[float]] | None = None
    #: claim -> how many segments it took
    company: Mapping[str | None, int] = field(default_factory=Counter)
    #: job -> rows its result must have
    expected_rows: Mapping[str, int] = field(default_factory=dict)
    objects_looked_at: int = 0


def judge(case: Case, evidence: Evidence) -> tuple[JobLife, list[Violation]]:
    """Follow the job's events and hold them against everything else."""
    life = JobLife(case.job.id).follow(case.events)
    found = [*life.violations, *_executions(case, evidence)]
    # What the events cannot follow, the rows cannot agree with: one fault is told once.
    if not life.violations:
        found += [*_books(case, life)]
    found += [*_results(case, life, evidence), *_success(case, evidence)]
    return life, found


def _executions(case: Case, evidence: Evidence) -> Iterator[Violation]:
    """Executions <= 1 + charged failures + injected kills + uncharged returns.

    A loss is one of these when it was charged, when its worker was hurt, or, once, when the segment was in company.
    """
    runs: defaultdict[tuple[str | None, int], list[Event]] = defaultdict(list)
    for event in case.events:
        if event.kind == "claimed" or event.kind in _AGAIN:
            runs[event.segment_id, event.run].append(event)
    for (segment_id, run), events in runs.items():
        executions = sum(event.kind == "claimed" for event in events)
        losses = [event for event in events if event.kind == "lost"]
        explained = sum(_explained(loss, evidence, first=loss is losses[0]) for loss in losses)
        allowed = 1 + len(events) - executions - len(losses) + explained
        if executions > allowed:
            told = f"ran {executions} times, {allowed} allowed"
            yield Violation("executions.excess", told, case.job.id, run, segment_id, events=events)


def _explained(loss: Event, evidence: Evidence, *, first: bool) -> bool:
    if evidence.hurt is None or (loss.data or {}).get("charged"):
        return True
    if any(at <= loss.at + SLACK_SECONDS for at in evidence.hurt.get(loss.worker_id or "", ())):
        return True
    return first and evidence.company.get(loss.claim_id, 0) > 1


def _books(case: Case, life: JobLife) -> Iterator[Violation]:
    job = case.job

    def wrong(message: str, segment: SegmentRow | None = None, *events: Event | None) -> Violation:
        shown = [event for event in events if event is not None]
        place = (None, None) if segment is None else (segment.id, segment.claim_id)
        return Violation("books.disagree", message, job.id, job.run, place[0], place[1], shown)

    if not case.events or case.events[0].kind != "submitted":
        yield wrong("its history does not begin with its submission", None, *case.events[:1])
    last = case.events[-1:] or (None,)
    if (job.run, job.state) != (life.run, life.state) and not _awaits_input(job, life):
        yield wrong(f"the row says run {job.run} {job.state}, the history run {life.run} {life.state}", None, *last)
    if job.attempts != life.charged:
        yield wrong(f"the row counts {job.attempts} attempts, the history {life.charged} charged failures")
    rows = {segment.id for segment in case.segments}
    cut = any(one.cut for one in life.segments.values())
    for segment in case.segments:
        one = life.segments.get(segment.id)
        if one is None:
            expected = {"dropped"} if life.ended or segment.run < life.run else {"waiting", "ready"}
        else:
            expected = _ROW_STATES[one.state]
        if segment.state not in expected:
            told = f"the row says {segment.state}, the history {' or '.join(sorted(expected))}"
            yield wrong(told, segment, one.last if one else None)
        elif one is not None and one.state in ("held", "kept") and one.claim_id != segment.claim_id:
            yield wrong(f"the row names another claim than {one.claim_id}", segment, one.last)
        if segment.kind == "infer" and not (cut or (one is not None and one.planned)):
            yield wrong("a part of the input that no plan tells of", segment, one.last if one else None)
    for segment_id, one in life.segments.items():
        if segment_id not in rows and not (one.merge and one.gone):
            yield wrong(f"segment {segment_id} has a history and no row", None, one.last)
    yield from (wrong(message) for message in _counts(job, case.segments))


def _awaits_input(job: JobRow, life: JobLife) -> bool:
    """A replay says nothing of whether the input must be fetched again first."""
    return job.run == life.run > 1 and (job.state, life.state) == ("uploading", "queued")


def _counts(job: JobRow, segments: Sequence[SegmentRow]) -> Iterator[str]:
    parts = [segment for segment in segments if segment.kind == "infer" and segment.run == job.run]
    left = sum(part.state != "done" for part in parts) - len(job.missing)
    if (job.segments_total, job.segments_left) != (len(parts), left):
        yield f"{job.segments_left} of {job.segments_total} segments left by the row, {left} of {len(parts)} by count"
    frames = sum(part.frames if part.rows_count is None else part.rows_count for part in parts if part.state == "done")
    if job.frames != frames and not job.results_deleted:
        yield f"the row counts {job.frames} frames, its segments {frames}"


def _results(case: Case, life: JobLife, evidence: Evidence) -> Iterator[Violation]:
    for segment in case.segments:
        if segment.state != "done" or segment.rows_count is None or case.job.results_deleted:
            continue
        one = life.segments.get(segment.id)
        done = one.accepted if one else None
        for rule, message in _result(segment, done, evidence):
            claim_id = done.claim_id if done else segment.claim_id
            shown = [done] if done else []
            yield Violation(rule, message, case.job.id, segment.run, segment.id, claim_id, shown)


def _result(segment: SegmentRow, done: Event | None, evidence: Evidence) -> Iterator[tuple[str, str]]:
    told = (done.data or {}) if done else {}
    if (told.get("rows_key"), told.get("sha256")) != (segment.rows_key, segment.rows_sha256):
        yield "result.foreign", f"the row names {segment.rows_key or 'inline rows'}, accepted were {dict(told)}"
    if segment.rows_key is None:
        if segment.inline_sha256 is None:
            yield "result.missing", f"{segment.rows_count} rows are neither in the row nor in the store"
        elif segment.inline_sha256 != segment.rows_sha256:
            yield "result.corrupt", f"the inline rows are {segment.inline_sha256}, not {segment.rows_sha256}"
        return
    if done and done.claim_id and f"/{segment.id}/{done.claim_id}." not in segment.rows_key:
        yield "result.foreign", f"{segment.rows_key} is not the key of the claim that finished it"
    if evidence.objects is None:
        return
    evidence.objects_looked_at += 1
    digest = evidence.objects.sha256(segment.rows_key)
    if digest is None:
        yield "result.missing", f"{segment.rows_key} is not in the store"
    elif digest != segment.rows_sha256:
        yield "result.corrupt", f"{segment.rows_key} is {digest}, not {segment.rows_sha256}"


def _success(case: Case, evidence: Evidence) -> Iterator[Violation]:
    job = case.job
    if job.state != "succeeded":
        return
    parts = [segment for segment in case.segments if segment.kind == "infer" and segment.run == job.run]
    gaps = [part for part in parts if part.state != "done" and part.place not in job.missing]
    if not parts or gaps or not job.summed_up:
        what = f"segments {[part.place for part in gaps]} are neither done nor missing" if gaps else "it has no "
        yield Violation("success.gap", what + ("" if gaps else "summary" if parts else "segment"), job.id, job.run)
    expected = evidence.expected_rows.get(job.id)
    rows = sum(part.rows_count or 0 for part in parts)
    if expected is not None and rows != expected and not job.missing and not job.results_deleted:
        yield Violation("result.short", f"{rows} rows, {expected} expected", job.id, job.run)
