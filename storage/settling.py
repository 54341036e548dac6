"""What the outcomes of a claim add up to: pure decisions on locked rows, made before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from storage.ending import JobEnd, LockedJob
from storage.job import Bury, Done, Failed, GiveBack, JobState, Outcome, Retry, SegmentKind, SegmentState
from storage.returning import HeldSegment, Return, after

#: results first, then what ends a job, then what comes back
_ORDER = (Done, Failed, Bury, Retry, GiveBack)


@dataclass(slots=True)
class JobTally:
    """What the outcomes settled together add up to for one job."""

    segments_left: int
    timings: dict[str, float]
    warnings: list[Mapping[str, Any]]
    models: list[Mapping[str, Any]]
    missing: list[Mapping[str, Any]]
    charged: int = 0
    frames: int = 0
    input_sha256: str | None = None
    #: an infer segment after which nothing is left to infer; its run needs a merge
    last_infer: str | None = None
    end: JobEnd | None = None


@dataclass(slots=True)
class Settlement:
    """Everything that one finish, or one taking back, writes."""

    jobs: Mapping[str, LockedJob]
    tallies: dict[str, JobTally] = field(default_factory=dict)
    dones: list[Done] = field(default_factory=list)
    returns: list[Return] = field(default_factory=list)
    accepted: dict[str, bool] = field(default_factory=dict)

    def tally(self, job_id: str) -> JobTally:
        """Return the tally of a job, begun from its row."""
        if job_id not in self.tallies:
            job = self.jobs[job_id]
            self.tallies[job_id] = JobTally(
                job.segments_left, dict(job.timings), list(job.warnings), list(job.models), list(job.missing_ranges)
            )
        return self.tallies[job_id]


def settle(jobs: Mapping[str, LockedJob], held: Mapping[str, HeldSegment], outcomes: Sequence[Outcome]) -> Settlement:
    """Decide what a finish writes.

    Raises: ValueError when a merge segment, or the only infer segment of a run, is done without a summary, and when
    a plan segment is called done (plans are carried out by ``plan``).
    """
    settlement = Settlement(jobs)
    for outcome in sorted(outcomes, key=lambda outcome: _ORDER.index(type(outcome))):
        segment = held.get(outcome.segment_id)
        settlement.accepted[outcome.segment_id] = segment is not None and _settle_one(settlement, segment, outcome)
    return settlement


def settle_loss(
    jobs: Mapping[str, LockedJob], held: Mapping[str, HeldSegment], decide: Callable[[HeldSegment], Return]
) -> Settlement:
    """Decide what taking segments from their worker writes; those of a job that this very loss ends are dropped."""
    settlement = Settlement(jobs)
    for segment in held.values():
        if settlement.tally(segment.job_id).end is None:
            _take_return(settlement, segment, decide(segment))
    return settlement


def _settle_one(settlement: Settlement, segment: HeldSegment, outcome: Outcome) -> bool:
    if segment.state is SegmentState.DONE:
        return isinstance(outcome, Done)
    tally = settlement.tally(segment.job_id)
    if tally.end is not None:
        return False
    if isinstance(outcome, Done):
        _take_done(tally, settlement.jobs[segment.job_id], segment, outcome)
        settlement.dones.append(outcome)
    else:
        _take_return(settlement, segment, after(segment, outcome))
    return True


def _take_return(settlement: Settlement, segment: HeldSegment, back: Return) -> None:
    job, tally = settlement.jobs[segment.job_id], settlement.tally(segment.job_id)
    tally.charged += back.charged
    if back.ends is None:
        settlement.returns.append(back)
        return
    end = JobEnd(job.id, back.ends, error=back.error)
    if _may_be_missing(job, segment):
        settlement.returns.append(replace(back, ends=None, missing=True))
        tally.missing.append(_gap(segment, back))
        tally.segments_left -= 1
        nothing_done = len(tally.missing) == job.segments_total
        tally.last_infer = segment.id if tally.segments_left == 0 and not nothing_done else None
        tally.end = end if nothing_done else None
    else:
        settlement.returns.append(back)
        tally.end = end


def _may_be_missing(job: LockedJob, segment: HeldSegment) -> bool:
    """Whether the job succeeds without this segment: the client allowed it, and there are others."""
    return job.allow_partial and segment.kind is SegmentKind.INFER and job.segments_total > 1


def _gap(segment: HeldSegment, back: Return) -> dict[str, Any]:
    return {
        "segment": segment.index,
        "start_pts": segment.start_pts,
        "end_pts": segment.end_pts,
        "code": (back.error or {}).get("code"),
    }


def _take_done(tally: JobTally, job: LockedJob, segment: HeldSegment, done: Done) -> None:
    if segment.kind is SegmentKind.PLAN:
        raise ValueError(f"segment {segment.id} is a plan: carry it out")
    for stage, seconds in done.timings.items():
        tally.timings[stage] = round(tally.timings.get(stage, 0.0) + seconds, 6)
    tally.warnings.extend(warning for warning in done.warnings if warning not in tally.warnings)
    tally.models.extend(model for model in done.models if model not in tally.models)
    tally.input_sha256 = tally.input_sha256 or done.input_sha256
    if segment.kind is SegmentKind.INFER:
        tally.frames += segment.frames if done.rows is None else done.rows.count
        tally.segments_left -= 1
    ends_job = segment.kind is SegmentKind.MERGE or (segment.kind is SegmentKind.INFER and job.segments_total == 1)
    if ends_job and done.summary is None:
        raise ValueError(f"segment {segment.id} ends its job and must bring a summary")
    if ends_job:
        tally.end = JobEnd(job.id, JobState.SUCCEEDED, summary=done.summary, artifacts=done.artifacts)
        if tally.missing:
            tally.warnings.insert(0, _partial(len(tally.missing), job.segments_total))
    elif segment.kind is SegmentKind.INFER and tally.segments_left == 0:
        tally.last_infer = segment.id


def _partial(missing: int, total: int) -> dict[str, str]:
    message = f"{missing} of {total} parts could not be run; missing_ranges names them, a replay tries them again."
    return {"code": "result.partial", "message": message}
