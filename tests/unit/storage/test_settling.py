"""What one finish writes, decided from locked rows alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from storage.ending import LockedJob
from storage.job import Bury, Done, Failed, Fault, GiveBack, JobState, Outcome, Retry, Rows, SegmentKind, SegmentState
from storage.returning import HeldSegment, after_loss_of_child
from storage.settling import settle, settle_loss

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


@pytest.mark.parametrize(
    ("allowed", "kind", "total", "left", "gone", "verdict"),
    [
        (False, SegmentKind.INFER, 3, 3, 0, "ends"),
        (True, SegmentKind.INFER, 3, 3, 0, "goes on"),
        (True, SegmentKind.INFER, 3, 2, 1, "goes on"),
        (True, SegmentKind.INFER, 3, 1, 0, "merges"),
        (True, SegmentKind.INFER, 3, 1, 1, "merges"),
        (True, SegmentKind.INFER, 3, 1, 2, "ends"),
        (True, SegmentKind.INFER, 1, 1, 0, "ends"),
        (True, SegmentKind.PLAN, 0, 0, 0, "ends"),
        (True, SegmentKind.MERGE, 3, 0, 1, "ends"),
    ],
)
def test_a_segment_goes_missing_only_where_that_is_allowed_and_something_was_done(
    allowed: bool, kind: SegmentKind, total: int, left: int, gone: int, verdict: str
) -> None:
    gaps = [{"segment": place} for place in range(gone)]
    job = replace(JOB, segments_total=total, segments_left=left, allow_partial=allowed, missing_ranges=gaps)
    tally = settled(job, [held("1", kind)], [Failed("1", FAULT)]).tallies["j"]
    assert (tally.end is not None) == (verdict == "ends")
    assert (tally.last_infer == "1") == (verdict == "merges")
    if tally.end is not None:
        assert (tally.end.state, tally.end.error) == (JobState.FAILED, FAULT.as_json())


def test_a_gap_names_its_segment_and_why() -> None:
    job = replace(JOB, allow_partial=True)
    segment = held("1", index=2, start_pts=20, end_pts=None)
    settlement = settled(job, [segment], [Bury("1", FAULT)])
    assert settlement.tallies["j"].missing == [
        {"segment": 2, "start_pts": 20, "end_pts": None, "code": "device.failed"}
    ]
    (back,) = settlement.returns
    assert (back.state, back.ends, back.missing) == (SegmentState.DEAD, None, True)


def test_a_loss_that_ends_its_job_leaves_the_rest_of_it_to_the_end() -> None:
    parts = {name: held(name, attempts=2) for name in "12"}
    settlement = settle_loss({"j": JOB}, parts, lambda part: after_loss_of_child(part, "killed"))
    assert [back.segment_id for back in settlement.returns] == ["1"]
    assert settlement.tallies["j"].charged == 1
    assert settlement.tallies["j"].end is not None


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
