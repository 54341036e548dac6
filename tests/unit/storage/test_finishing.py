"""What one finish writes, decided from locked rows alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from storage.ending import LockedJob
from storage.finishing import settle
from storage.job import Bury, Done, Failed, Fault, GiveBack, JobState, Outcome, Retry, Rows, SegmentKind, SegmentState
from storage.returning import HeldSegment

FAULT = Fault("device.failed", "it broke")
JOB = LockedJob("j", 1, JobState.RUNNING, 3, 3, {"decode": 1.0}, [{"code": "a"}], [{"name": "m"}])


def held(segment_id: str, kind: SegmentKind = SegmentKind.INFER, **fields: Any) -> HeldSegment:
    given: dict[str, Any] = {
        "job_id": "j",
        "run": 1,
        "state": SegmentState.CLAIMED,
        "frames": 7,
        "attempts": 0,
        "max_attempts": 3,
        "holdups": 0,
        "losses": 0,
        "claim_size": 1,
        "claim_id": "c",
        "worker_id": "w",
        "errors": [],
    }
    return HeldSegment(id=segment_id, kind=kind, **(given | fields))


def settled(job: LockedJob, segments: list[HeldSegment], outcomes: list[Outcome]) -> Any:
    return settle({job.id: job}, {segment.id: segment for segment in segments}, outcomes)


def test_dones_add_up_per_job() -> None:
    rows = Rows(count=2, size_bytes=1, sha256="x")
    dones = [
        Done("1", rows, timings={"decode": 0.5}, warnings=({"code": "a"}, {"code": "b"}), input_sha256="ab"),
        Done("2", timings={"model": 2.0}, models=({"name": "m"}, {"name": "n"})),
    ]
    settlement = settled(JOB, [held("1"), held("2")], dones)
    tally = settlement.tallies["j"]
    assert settlement.accepted == {"1": True, "2": True}
    assert (tally.segments_left, tally.frames, tally.input_sha256) == (1, 9, "ab")
    assert tally.timings == {"decode": 1.5, "model": 2.0}
    assert (tally.warnings, tally.models) == ([{"code": "a"}, {"code": "b"}], [{"name": "m"}, {"name": "n"}])
    assert (tally.end, tally.last_infer) == (None, None)


def test_the_last_infer_of_several_asks_for_a_merge() -> None:
    tally = settled(replace(JOB, segments_left=1), [held("1")], [Done("1")]).tallies["j"]
    assert (tally.last_infer, tally.end) == ("1", None)


@pytest.mark.parametrize(
    ("job", "segment"),
    [
        (replace(JOB, segments_total=1, segments_left=1), held("1")),
        (replace(JOB, segments_left=0), held("1", SegmentKind.MERGE)),
    ],
    ids=["only infer", "merge"],
)
def test_what_ends_a_job_brings_its_summary(job: LockedJob, segment: HeldSegment) -> None:
    tally = settled(job, [segment], [Done("1", summary={"ok": 1})]).tallies["j"]
    assert tally.end is not None
    assert (tally.end.state, tally.end.summary) == (JobState.SUCCEEDED, {"ok": 1})
    with pytest.raises(ValueError, match="summary"):
        settled(job, [segment], [Done("1")])


def test_results_are_written_before_a_fault_ends_their_job() -> None:
    outcomes: list[Outcome] = [GiveBack("4"), Retry("3", FAULT, 0.0, charged=True), Failed("2", FAULT), Done("1")]
    settlement = settled(JOB, [held(name) for name in "1234"], outcomes)
    assert settlement.accepted == {"1": True, "2": True, "3": False, "4": False}
    assert [done.segment_id for done in settlement.dones] == ["1"]
    assert [back.segment_id for back in settlement.returns] == ["2"]
    assert settlement.tallies["j"].end.state is JobState.FAILED


def test_the_first_of_two_faults_ends_the_job() -> None:
    settlement = settled(JOB, [held("1"), held("2")], [Bury("1", FAULT), Failed("2", FAULT)])
    assert settlement.accepted == {"1": False, "2": True}


def test_what_the_claim_does_not_hold_is_refused() -> None:
    settlement = settled(JOB, [held("1")], [Done("1"), Done("gone")])
    assert settlement.accepted == {"1": True, "gone": False}


def test_what_was_done_before_is_accepted_again_and_counted_once() -> None:
    done_before = held("1", state=SegmentState.DONE)
    settlement = settled(JOB, [done_before], [Done("1")])
    assert settlement.accepted == {"1": True}
    assert (settlement.dones, settlement.tallies) == ([], {})
    assert settled(JOB, [done_before], [GiveBack("1")]).accepted == {"1": False}


def test_a_plan_cannot_be_called_done() -> None:
    with pytest.raises(ValueError, match="carry"):
        settled(JOB, [held("1", SegmentKind.PLAN)], [Done("1")])
