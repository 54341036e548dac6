"""Carrying out plans: one part goes on, several make way, and a lost claim plans nothing."""

from __future__ import annotations

import pytest

from storage.claims import ClaimLost, Plan
from storage.job import JobState, SegmentKind, SegmentPlan
from tests.contract.claims.bed import Queue, held, plan, split, states


def test_a_plan_of_one_part_goes_on_under_the_same_claim(queue: Queue) -> None:
    job_id = queue.add_job()
    found = held(queue)
    segment = plan(queue, found, 7)
    assert (segment.id, segment.kind) == (found.segments[0].id, SegmentKind.INFER)
    assert (segment.range.frames, segment.segments_total, segment.media) == (7, 1, {"kind": "video"})
    assert states(queue, job_id) == ["infer:claimed"]


def test_a_plan_of_several_parts_makes_way_for_them(queue: Queue) -> None:
    job_id = split(queue, 3)
    assert states(queue, job_id) == ["plan:done", *["infer:ready"] * 3]
    job = queue.job(job_id)
    assert (job.segments_total, job.segments_left, job.state) == (3, 3, JobState.RUNNING)
    assert [segment.index for segment in queue.segments(job_id)[1:]] == [0, 1, 2]


@pytest.mark.parametrize("frames", [(5,), (5, 5)], ids=["one part", "several"])
def test_a_plan_may_be_repeated_when_its_answer_was_lost(queue: Queue, frames: tuple[int, ...]) -> None:
    job_id = queue.add_job()
    found = held(queue)
    first = plan(queue, found, *frames)
    before = states(queue, job_id)
    assert plan(queue, found, *frames) == first
    assert states(queue, job_id) == before


def test_a_plan_without_its_claim_is_refused(queue: Queue) -> None:
    job_id = queue.add_job()
    found = held(queue)
    queue.cancel(job_id)
    with pytest.raises(ClaimLost):
        plan(queue, found, 5, 5)
    assert states(queue, job_id) == ["plan:dropped"]


def test_plans_of_a_whole_claim_are_carried_out_together(queue: Queue) -> None:
    short, long, gone = (queue.add_job(tag=float(place)) for place in range(3))
    found = held(queue)
    one, two, three = (segment.id for segment in found.segments)
    queue.cancel(gone)
    plans = {
        one: Plan([SegmentPlan(frames=7)], {"kind": "image"}),
        two: Plan([SegmentPlan(0, 10, 5), SegmentPlan(10, 20, 5)], {"kind": "video"}, [{"code": "media.damaged"}]),
        three: Plan([SegmentPlan()], {}),
    }
    planned = queue.plan_all(found, plans)
    assert planned.infers.keys() == {one}
    infer_segment = planned.infers[one]
    assert (infer_segment.kind, infer_segment.range.frames) == (SegmentKind.INFER, 7)
    assert (infer_segment.segments_total, infer_segment.media) == (1, {"kind": "image"})
    assert (planned.cut, planned.lost) == (frozenset({two}), frozenset({three}))
    assert states(queue, short) == ["infer:claimed"]
    assert states(queue, long) == ["plan:done", "infer:ready", "infer:ready"]
    assert states(queue, gone) == ["plan:dropped"]
    assert (queue.job(long).segments_total, list(queue.job(long).warnings)) == (2, [{"code": "media.damaged"}])
    assert (queue.job(short).segments_total, list(queue.job(short).warnings)) == (1, [])
    assert queue.refusals(gone) == [("plan", "job_ended")]
    again = queue.plan_all(found, plans)
    assert (again.infers, again.cut, again.lost) == (planned.infers, planned.cut, planned.lost)
    assert states(queue, long) == ["plan:done", "infer:ready", "infer:ready"]


def test_a_segment_that_was_never_in_the_claim_is_lost_to_it(queue: Queue) -> None:
    queue.add_job(tag=0.0)
    other = queue.add_job(tag=1.0, batch_key="other")
    found, foreign = held(queue), held(queue, "berta")
    planned = queue.plan_all(found, {foreign.segments[0].id: Plan([SegmentPlan()], {})})
    assert planned.lost == {foreign.segments[0].id}
    assert states(queue, other) == ["plan:claimed"]


def test_one_empty_plan_of_many_changes_nothing(queue: Queue) -> None:
    jobs = [queue.add_job(), queue.add_job()]
    found = held(queue)
    first, second = (segment.id for segment in found.segments)
    with pytest.raises(ValueError, match="at least one"):
        queue.plan_all(found, {first: Plan([SegmentPlan()], {}), second: Plan([], {})})
    assert [states(queue, job_id) for job_id in jobs] == [["plan:claimed"], ["plan:claimed"]]


def test_an_empty_plan_is_a_mistake(queue: Queue) -> None:
    queue.add_job()
    found = held(queue)
    with pytest.raises(ValueError, match="at least one"):
        plan(queue, found)
