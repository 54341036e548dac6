"""One suite for the claims port: PostgreSQL and the memory fake promise the same."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from storage.artifacts import Artifact
from storage.claims import LEFT_BEHIND_SECONDS, ClaimLost, Plan
from storage.fleet import MAX_LOSSES
from storage.job import (
    Bury,
    Claim,
    Done,
    Failed,
    Fault,
    GiveBack,
    JobState,
    Retry,
    SegmentKind,
    SegmentPlan,
    SegmentState,
)
from storage.objects.keys import artifact_key
from tests.fakes.memory_claims import MemoryClaims
from tests.fakes.sql_queue import SqlQueue, rows_of

FAULT = Fault("device.failed", "it broke", stage="infer", stack="Traceback ...")
SUMMARY = {"frames": 1}

Queue = MemoryClaims | SqlQueue


@pytest.fixture(params=["memory", "sql"])
def queue(request: pytest.FixtureRequest) -> Queue:
    queue = MemoryClaims() if request.param == "memory" else SqlQueue(request.getfixturevalue("database"))
    for worker in ("anna", "berta"):
        queue.register(worker)
    return queue


def claim(queue: Queue, worker: str = "anna", *, limit: int = 8, **wanted: Any) -> Claim | None:
    given = {"lanes": ["cpu"], "size_classes": ["short", "long"], "serves": [("motion", 1)]} | wanted
    return queue.claim(worker, limit=limit, **given)


def held(queue: Queue, worker: str = "anna", **wanted: Any) -> Claim:
    found = claim(queue, worker, **wanted)
    assert found is not None
    return found


def jobs_of(found: Claim | None) -> list[str]:
    return [segment.job_id for segment in found.segments] if found else []


def plan(queue: Queue, found: Claim, *frames: int) -> Any:
    plans = [SegmentPlan(10 * place, 10 * place + 10, count, 4.0) for place, count in enumerate(frames)]
    return queue.plan(found, found.segments[0].id, plans, media={"kind": "video"})


def infer(queue: Queue, worker: str = "anna", **fields: Any) -> tuple[str, Claim]:
    """A job whose only infer segment this worker holds."""
    job_id = queue.add_job(**fields)
    found = held(queue, worker, limit=1)
    plan(queue, found, 5)
    return job_id, found


def split(queue: Queue, parts: int, **fields: Any) -> str:
    """A long job, cut into ready infer segments."""
    job_id = queue.add_job(size_class="long", **fields)
    assert plan(queue, held(queue), *[5] * parts) is None
    return job_id


def outcomes(kind: Any, found: Claim, *details: Any) -> Sequence[Any]:
    return [kind(segment.id, *details) for segment in found.segments]


def states(queue: Queue, job_id: str) -> list[str]:
    return [f"{segment.kind}:{segment.state}" for segment in queue.segments(job_id)]


# claim


def test_an_empty_queue_gives_nothing(queue: Queue) -> None:
    assert claim(queue) is None


def test_a_claim_carries_what_a_worker_needs_of_the_job(queue: Queue) -> None:
    job_id = queue.add_job(params={"stride": 7}, max_attempts=4)
    (segment,) = held(queue).segments
    assert (segment.job_id, segment.run, segment.kind) == (job_id, 1, SegmentKind.PLAN)
    assert (segment.params, segment.attempts, segment.max_attempts) == ({"stride": 7}, 0, 4)
    assert segment.input.key is not None
    assert queue.job(job_id).state is JobState.RUNNING


def test_what_one_worker_holds_no_other_gets(queue: Queue) -> None:
    queue.add_job()
    assert held(queue).worker_id == "anna"
    assert claim(queue, "berta") is None


def test_claims_go_by_tag(queue: Queue) -> None:
    late, early = queue.add_job(tag=20.0, batch_key="x"), queue.add_job(tag=10.0, batch_key="y")
    assert [jobs_of(claim(queue)), jobs_of(claim(queue))] == [[early], [late]]


def test_like_segments_come_together_up_to_the_limit(queue: Queue) -> None:
    alike = [queue.add_job(tag=float(place)) for place in range(4)]
    queue.add_job(tag=0.5, batch_key="other")
    found = held(queue, limit=3)
    assert jobs_of(found) == alike[:3]
    assert len({segment.id for segment in found.segments}) == 3


def test_plans_and_infers_do_not_come_together(queue: Queue) -> None:
    first = queue.add_job(tag=1.0)
    found = held(queue)
    plan(queue, found, 5, 5)
    queue.add_job(tag=2.0)
    both = held(queue)
    assert {segment.kind for segment in both.segments} == {SegmentKind.INFER}
    assert jobs_of(both) == [first, first]


def test_segments_of_a_long_job_come_one_by_one(queue: Queue) -> None:
    split(queue, 3)
    assert len(held(queue).segments) == len(held(queue, "berta").segments) == 1


def test_a_solo_segment_comes_alone_and_joins_no_batch(queue: Queue) -> None:
    alone = queue.add_job(tag=1.0)
    queue.finish(found := held(queue), outcomes(Retry, found, FAULT, 0.0, False, True))
    others = [queue.add_job(tag=0.0), queue.add_job(tag=2.0)]
    assert jobs_of(claim(queue)) == others
    (segment,) = held(queue).segments
    assert (segment.job_id, segment.solo, segment.holdups) == (alone, True, 1)


@pytest.mark.parametrize(
    "wanted",
    [{"lanes": ["gpu"]}, {"size_classes": ["long"]}, {"serves": [("detect", 1)]}, {"serves": [("motion", 0)]}],
    ids=["lane", "class", "pipeline", "older worker"],
)
def test_a_worker_gets_only_what_it_can_run(queue: Queue, wanted: dict[str, Any]) -> None:
    job_id = queue.add_job()
    assert claim(queue, **wanted) is None
    assert jobs_of(claim(queue)) == [job_id]


def test_a_newer_worker_takes_older_work(queue: Queue) -> None:
    job_id = queue.add_job()
    assert jobs_of(claim(queue, serves=[("detect", 1), ("motion", 2)])) == [job_id]


@pytest.mark.parametrize(("kind", "name"), [("pipeline", "motion"), ("lane", "cpu"), ("tenant", "tenant")])
def test_what_is_paused_is_not_claimed_until_resumed(queue: Queue, kind: str, name: str) -> None:
    job_id = queue.add_job()
    queue.pause(kind, name)
    assert claim(queue) is None
    queue.resume(kind, name)
    assert jobs_of(claim(queue)) == [job_id]


def test_a_paused_head_blocks_nobody_behind_it(queue: Queue) -> None:
    queue.add_job(tenant="flood", tag=1.0)
    other = queue.add_job(tag=2.0)
    queue.pause("tenant", "flood")
    assert jobs_of(claim(queue)) == [other]


def test_a_draining_unknown_or_lost_worker_gets_nothing(queue: Queue) -> None:
    job_id = queue.add_job()
    queue.drain("anna")
    queue.lose_child("berta")
    assert claim(queue, "anna") is None
    assert claim(queue, "berta") is None
    assert claim(queue, "nobody") is None
    queue.register("berta")
    assert jobs_of(claim(queue, "berta")) == [job_id]


# plan


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


# finish


def test_the_only_infer_segment_ends_the_job_with_its_summary(queue: Queue) -> None:
    job_id, found = infer(queue)
    done = Done(
        found.segments[0].id, rows_of(5), SUMMARY, ({"code": "media.damaged"},), {"decode": 1.5}, ({"name": "m"},), "ab"
    )
    assert queue.finish(found, [done]) == {done.segment_id: True}
    job = queue.job(job_id)
    assert (job.state, job.summary, job.progress, job.segments_left) == (JobState.SUCCEEDED, SUMMARY, 1.0, 0)
    assert (job.frames, job.input.sha256, job.models) == (5, "ab", [{"name": "m"}])
    assert list(job.warnings) == [{"code": "media.damaged"}]
    assert job.timings["decode"] == 1.5


def test_a_segment_that_ends_its_job_must_bring_a_summary(queue: Queue) -> None:
    job_id, found = infer(queue)
    with pytest.raises(ValueError, match="summary"):
        queue.finish(found, outcomes(Done, found, rows_of(1)))
    assert queue.job(job_id).state is JobState.RUNNING


def test_a_plan_segment_is_carried_out_not_done(queue: Queue) -> None:
    queue.add_job()
    found = held(queue)
    with pytest.raises(ValueError, match="carr"):
        queue.finish(found, outcomes(Done, found))


def test_the_last_of_several_inserts_the_merge_which_ends_the_job(queue: Queue) -> None:
    job_id = split(queue, 2)
    for left in (1, 0):
        found = held(queue)
        queue.finish(found, outcomes(Done, found, rows_of(5)))
        assert queue.job(job_id).segments_left == left
    assert states(queue, job_id) == ["plan:done", "infer:done", "infer:done", "merge:ready"]
    merge = held(queue)
    assert [segment.kind for segment in merge.segments] == [SegmentKind.MERGE]
    queue.finish(merge, [Done(merge.segments[0].id, summary=SUMMARY)])
    job = queue.job(job_id)
    assert (job.state, job.summary, job.frames) == (JobState.SUCCEEDED, SUMMARY, 10)


def test_a_finish_may_be_repeated_when_its_answer_was_lost(queue: Queue) -> None:
    job_id, found = infer(queue)
    done = outcomes(Done, found, rows_of(5), SUMMARY)
    assert queue.finish(found, done) == queue.finish(found, done)
    assert queue.job(job_id).frames == 5


def test_each_segment_of_a_batch_has_its_own_outcome(queue: Queue) -> None:
    jobs = [queue.add_job(tag=float(place)) for place in range(4)]
    found = held(queue)
    for segment in found.segments:
        queue.plan(found, segment.id, [SegmentPlan()], media={})
    first, second, third, fourth = (segment.id for segment in found.segments)
    accepted = queue.finish(
        found,
        [
            Done(first, summary=SUMMARY),
            Failed(second, FAULT),
            Retry(third, FAULT, 60.0, charged=True),
            GiveBack(fourth),
        ],
    )
    assert set(accepted.values()) == {True}
    expected = [JobState.SUCCEEDED, JobState.FAILED, JobState.QUEUED, JobState.QUEUED]
    assert [queue.job(job_id).state for job_id in jobs] == expected


def test_some_outcomes_may_be_written_before_the_others(queue: Queue) -> None:
    jobs = [queue.add_job(tag=float(place)) for place in range(2)]
    found = held(queue)
    for segment in found.segments:
        queue.plan(found, segment.id, [SegmentPlan()], media={})
    queue.finish(found, [Done(found.segments[0].id, summary=SUMMARY)])
    assert [queue.job(job_id).state for job_id in jobs] == [JobState.SUCCEEDED, JobState.RUNNING]
    assert queue.holds(found)


def test_a_failed_segment_ends_the_job_and_drops_the_others(queue: Queue) -> None:
    job_id = split(queue, 3)
    found, other = held(queue), held(queue, "berta")
    assert queue.finish(found, outcomes(Failed, found, FAULT)) == {found.segments[0].id: True}
    job = queue.job(job_id)
    assert (job.state, job.error) == (JobState.FAILED, FAULT.as_json())
    assert states(queue, job_id) == ["plan:done", "infer:dead", "infer:dropped", "infer:dropped"]
    assert queue.finish(other, outcomes(Done, other)) == {other.segments[0].id: False}
    assert not queue.holds(other)


def test_bury_ends_the_job_dead_at_once(queue: Queue) -> None:
    job_id, found = infer(queue)
    queue.finish(found, outcomes(Bury, found, FAULT))
    job = queue.job(job_id)
    assert (job.state, job.attempts, job.error) == (JobState.DEAD, 0, FAULT.as_json())


# what is refused is recorded


def test_a_refusal_tells_that_the_claim_was_taken_over(queue: Queue) -> None:
    job_id, stale = infer(queue)
    queue.lose_host("anna")
    taken = held(queue, "berta")
    queue.finish(stale, outcomes(Done, stale, rows_of(9), SUMMARY))
    queue.finish(taken, outcomes(Done, taken, rows_of(5), SUMMARY))
    queue.finish(stale, outcomes(GiveBack, stale))
    assert queue.refusals(job_id) == [("done", "taken_over"), ("give_back", "taken_over")]


def test_a_refusal_tells_that_the_job_has_ended(queue: Queue) -> None:
    job_id, found = infer(queue)
    queue.cancel(job_id)
    queue.finish(found, outcomes(Failed, found, FAULT))
    assert queue.refusals(job_id) == [("failed", "job_ended")]


def test_what_comes_after_the_fault_that_ended_its_job_in_one_finish_is_refused(queue: Queue) -> None:
    job_id = queue.add_job()
    plan(queue, held(queue), 5, 5)
    both = held(queue)
    first, second = (segment.id for segment in both.segments)
    queue.finish(both, [Failed(first, FAULT), Retry(second, FAULT, 0.0, charged=True)])
    assert queue.refusals(job_id) == [("retry", "job_ended")]


def test_a_refusal_tells_that_the_segment_had_gone_back(queue: Queue) -> None:
    job_id, found = infer(queue)
    queue.finish(found, outcomes(GiveBack, found))
    queue.finish(found, outcomes(Bury, found, FAULT))
    assert queue.refusals(job_id) == [("bury", "given_back")]
    assert queue.job(job_id).state is JobState.QUEUED


def test_a_refusal_tells_that_the_segment_had_ended(queue: Queue) -> None:
    job_id = split(queue, 2)
    found = held(queue)
    queue.finish(found, outcomes(Done, found, rows_of(5)))
    queue.finish(found, outcomes(Retry, found, FAULT, 0.0, True))
    assert queue.refusals(job_id) == [("retry", "segment_ended")]


def test_what_is_accepted_again_is_no_refusal(queue: Queue) -> None:
    job_id, found = infer(queue)
    for _ in range(2):
        queue.finish(found, outcomes(Done, found, rows_of(5), SUMMARY))
    assert queue.refusals(job_id) == []


# retry


def test_a_retry_waits_for_its_time(queue: Queue) -> None:
    job_id, found = infer(queue)
    queue.finish(found, outcomes(Retry, found, FAULT, 30.0, True))
    job = queue.job(job_id)
    assert (job.state, job.attempts, states(queue, job_id)) == (JobState.QUEUED, 1, ["infer:waiting"])
    assert job.run_after is not None
    queue.pass_time(29)
    assert claim(queue) is None
    queue.pass_time(1)
    (segment,) = held(queue).segments
    assert (segment.attempts, segment.kind, segment.media) == (1, SegmentKind.INFER, {"kind": "video"})


def test_charged_retries_end_dead_at_max_attempts_with_the_last_five_errors(queue: Queue) -> None:
    job_id, found = infer(queue, max_attempts=6)
    for attempt in range(1, 7):
        assert queue.job(job_id).state is JobState.RUNNING
        fault = Fault("device.failed", f"number {attempt}")
        queue.finish(found, outcomes(Retry, found, fault, 0.0, True))
        found = claim(queue) or found
    job = queue.job(job_id)
    assert (job.state, job.attempts) == (JobState.DEAD, 6)
    assert job.error is not None
    assert job.error["message"] == "number 6"
    (segment,) = queue.segments(job_id)
    assert [error["message"] for error in segment.errors] == [f"number {attempt}" for attempt in range(2, 7)]


def test_an_uncharged_retry_counts_holdups_and_remembers_since_when(queue: Queue) -> None:
    job_id, found = infer(queue, max_attempts=1)
    since = []
    for holdups in (1, 2, 3):
        queue.finish(found, outcomes(Retry, found, FAULT, 0.0, False))
        found = held(queue)
        assert found.segments[0].holdups == holdups
        since.append(found.segments[0].held_up_since)
    assert since[0] is not None
    assert max(since) - min(since) < timedelta(seconds=5)
    assert (queue.job(job_id).attempts, found.segments[0].attempts) == (0, 0)


def test_a_job_with_other_segments_in_hand_stays_running(queue: Queue) -> None:
    job_id = split(queue, 2)
    found, _ = held(queue), held(queue, "berta")
    queue.finish(found, outcomes(GiveBack, found))
    assert queue.job(job_id).state is JobState.RUNNING


def test_a_job_of_which_only_waiting_segments_are_left_is_queued_until_then(queue: Queue) -> None:
    job_id = split(queue, 3)
    found, other = held(queue), held(queue, "berta")
    queue.finish(found, outcomes(Retry, found, FAULT, 30.0, True))
    queue.finish(other, outcomes(Done, other))
    assert queue.job(job_id).state is JobState.RUNNING, "one segment is ready"
    last = held(queue)
    queue.finish(last, outcomes(Done, last))
    job = queue.job(job_id)
    assert job.state is JobState.QUEUED
    assert job.run_after is not None


def test_give_back_charges_nothing_and_clears_the_claim(queue: Queue) -> None:
    job_id, found = infer(queue)
    assert queue.finish(found, outcomes(GiveBack, found)) == {found.segments[0].id: True}
    (segment,) = queue.segments(job_id)
    assert (segment.state, segment.attempts, segment.claim_id) == (SegmentState.READY, 0, None)
    assert not queue.holds(found)
    assert queue.finish(found, outcomes(Done, found, None, SUMMARY)) == {found.segments[0].id: False}


# loss


def test_a_child_that_died_alone_with_a_segment_charges_it(queue: Queue) -> None:
    job_id, _ = infer(queue, max_attempts=2)
    assert queue.lose_child("anna").segments == 1
    assert (queue.job(job_id).attempts, queue.job(job_id).state) == (1, JobState.QUEUED)
    held(queue, "berta")
    lost = queue.lose_child("berta")
    assert (lost.segments, lost.buried, lost.lanes) == (1, 1, frozenset())
    job = queue.job(job_id)
    assert (job.state, job.attempts) == (JobState.DEAD, 2)
    assert job.error is not None
    assert job.error["code"] == "worker.lost"


def test_a_child_that_died_with_a_batch_charges_nobody_and_makes_all_solo(queue: Queue) -> None:
    jobs = [queue.add_job() for _ in range(3)]
    held(queue)
    lost = queue.lose_child("anna")
    assert (lost.segments, lost.buried, lost.lanes) == (3, 0, frozenset({("cpu", "short")}))
    assert [queue.job(job_id).attempts for job_id in jobs] == [0, 0, 0]
    assert [len(held(queue, "berta").segments) for _ in jobs] == [1, 1, 1]


def test_poison_in_a_batch_ends_alone_and_the_innocent_succeed(queue: Queue) -> None:
    poison, *innocent = [queue.add_job(max_attempts=2) for _ in range(4)]
    alive = 0
    while (found := claim(queue, worker := f"worker {alive}")) or alive == 0:
        if found is None:
            queue.register(worker)
        elif poison in jobs_of(found):
            queue.lose_child(worker)
        else:
            plan(queue, found, 5)
            queue.finish(found, outcomes(Done, found, None, SUMMARY))
        alive += 1
        queue.register(f"worker {alive}")
    assert queue.job(poison).state is JobState.DEAD
    assert [queue.job(job_id).state for job_id in innocent] == [JobState.SUCCEEDED] * 3
    assert [queue.job(job_id).attempts for job_id in innocent] == [0, 0, 0]


def test_a_silent_host_is_not_charged_but_buried_after_ten_losses(queue: Queue) -> None:
    job_id, _ = infer(queue, max_attempts=1)
    for losses in range(1, MAX_LOSSES):
        assert queue.lose_host("anna").buried == 0
        (segment,) = queue.segments(job_id)
        assert (segment.losses, segment.attempts, segment.state) == (losses, 0, SegmentState.READY)
        queue.register("anna")
        held(queue)
    assert queue.lose_host("anna").buried == 1
    assert (queue.job(job_id).state, queue.job(job_id).attempts) == (JobState.DEAD, 0)


@pytest.mark.parametrize("how", ["lose_child", "lose_host"])
def test_a_late_result_is_accepted_when_nobody_took_over(queue: Queue, how: str) -> None:
    job_id, found = infer(queue)
    getattr(queue, how)("anna")
    assert queue.holds(found)
    assert queue.heartbeat("anna", {}).held == {found.id}
    assert queue.finish(found, outcomes(Done, found, None, SUMMARY)) == {found.segments[0].id: True}
    assert queue.job(job_id).state is JobState.SUCCEEDED
    assert claim(queue, "berta") is None


@pytest.mark.parametrize("how", ["lose_child", "lose_host"])
def test_a_late_result_is_refused_after_take_over(queue: Queue, how: str) -> None:
    job_id, stale = infer(queue)
    getattr(queue, how)("anna")
    taken = held(queue, "berta")
    assert not queue.holds(stale)
    assert queue.finish(stale, outcomes(Done, stale, rows_of(9), {"by": "stale"})) == {stale.segments[0].id: False}
    assert queue.finish(taken, outcomes(Done, taken, rows_of(5), SUMMARY)) == {taken.segments[0].id: True}
    assert (queue.job(job_id).summary, queue.job(job_id).frames) == (SUMMARY, 5)


def artifact(found: Claim, name: str = "annotated.jpg") -> Artifact:
    segment = found.segments[0]
    key = artifact_key(segment.job_id, segment.run, segment.id, found.id, name)
    return Artifact(name, key, "image/jpeg", 7, "0" * 64, "3 marks")


def test_artifacts_are_named_by_the_very_write_that_ends_the_job(queue: Queue) -> None:
    job_id, found = infer(queue)
    assert queue.job(job_id).artifacts == []
    made = [artifact(found), artifact(found, "thumbnail-01.jpg")]
    queue.finish(found, [Done(found.segments[0].id, rows_of(5), SUMMARY, artifacts=made)])
    job = queue.job(job_id)
    assert (job.state, list(map(Artifact.of, job.artifacts))) == (JobState.SUCCEEDED, made)


def test_a_merges_artifacts_are_its_jobs(queue: Queue) -> None:
    job_id = split(queue, 1 + 1)
    for _ in range(2):
        found = held(queue)
        queue.finish(found, outcomes(Done, found, rows_of(5)))
    merge = held(queue)
    queue.finish(merge, [Done(merge.segments[0].id, summary=SUMMARY, artifacts=[artifact(merge)])])
    assert [one["name"] for one in queue.job(job_id).artifacts] == ["annotated.jpg"]


def test_artifacts_of_a_claim_that_was_replaced_are_never_named(queue: Queue) -> None:
    job_id, stale = infer(queue)
    queue.lose_child("anna")
    taken = held(queue, "berta")
    late = [Done(stale.segments[0].id, rows_of(9), SUMMARY, artifacts=[artifact(stale)])]
    assert not any(queue.finish(stale, late).values())
    queue.finish(taken, [Done(taken.segments[0].id, rows_of(5), SUMMARY, artifacts=[artifact(taken)])])
    assert not any(queue.finish(stale, late).values())
    assert [one["key"] for one in queue.job(job_id).artifacts] == [artifact(taken).key]


def test_losing_a_worker_that_holds_nothing_changes_nothing(queue: Queue) -> None:
    lost = queue.lose_child("anna")
    assert (lost.segments, lost.buried, lost.lanes) == (0, 0, frozenset())


# partial success


def finish_merge(queue: Queue) -> None:
    merge = held(queue)
    assert [segment.kind for segment in merge.segments] == [SegmentKind.MERGE]
    assert queue.finish(merge, [Done(merge.segments[0].id, summary=SUMMARY)]) == {merge.segments[0].id: True}


@pytest.mark.parametrize("how", ["failed", "buried", "attempts", "child", "host"])
def test_a_job_that_allows_it_succeeds_without_the_segment_that_could_not_be_run(queue: Queue, how: str) -> None:
    job_id = split(queue, 3, allow_partial=True, max_attempts=1)
    found = held(queue)
    if how == "failed":
        assert queue.finish(found, outcomes(Failed, found, FAULT)) == {found.segments[0].id: True}
    elif how == "buried":
        queue.finish(found, outcomes(Bury, found, FAULT))
    elif how == "attempts":
        queue.finish(found, outcomes(Retry, found, FAULT, 9.0, True))
    elif how == "child":
        assert (queue.lose_child("anna").buried, queue.job(job_id).attempts) == (1, 1)
    else:
        for _ in range(MAX_LOSSES - 1):
            queue.lose_host("anna")
            queue.register("anna")
            held(queue)
        assert queue.lose_host("anna").buried == 1
    queue.register("anna")
    code = "worker.lost" if how in {"child", "host"} else FAULT.code
    job = queue.job(job_id)
    assert (job.state, job.error, job.segments_left) == (JobState.RUNNING, None, 2)
    assert list(job.missing_ranges) == [{"segment": 0, "start_pts": 0, "end_pts": 10, "code": code}]
    for _ in range(2):
        found = held(queue)
        queue.finish(found, outcomes(Done, found, rows_of(5)))
    assert states(queue, job_id) == ["plan:done", "infer:dead", "infer:done", "infer:done", "merge:ready"]
    finish_merge(queue)
    job = queue.job(job_id)
    assert (job.state, job.summary, job.error) == (JobState.SUCCEEDED, SUMMARY, None)
    assert [warning["code"] for warning in job.warnings] == ["result.partial"]


def test_the_last_segment_may_be_the_missing_one(queue: Queue) -> None:
    job_id = split(queue, 2, allow_partial=True)
    found = held(queue)
    queue.finish(found, outcomes(Done, found, rows_of(5)))
    found = held(queue)
    queue.finish(found, outcomes(Failed, found, FAULT))
    assert states(queue, job_id) == ["plan:done", "infer:done", "infer:dead", "merge:ready"]
    finish_merge(queue)
    assert queue.job(job_id).state is JobState.SUCCEEDED


def test_a_result_that_comes_together_with_the_faults_counts(queue: Queue) -> None:
    job_id = queue.add_job(allow_partial=True)
    plan(queue, held(queue), 5, 5, 5)
    found = held(queue)
    first, second, third = (segment.id for segment in found.segments)
    accepted = queue.finish(found, [Failed(first, FAULT), Bury(second, FAULT), Done(third, rows_of(5))])
    assert set(accepted.values()) == {True}
    assert states(queue, job_id) == ["plan:done", "infer:dead", "infer:dead", "infer:done", "merge:ready"]


@pytest.mark.parametrize(("kind", "state"), [(Failed, JobState.FAILED), (Bury, JobState.DEAD)])
def test_a_job_of_which_nothing_could_be_run_ends_as_if_nothing_were_allowed(
    queue: Queue, kind: Any, state: JobState
) -> None:
    job_id = split(queue, 2, allow_partial=True)
    for _ in range(2):
        found = held(queue)
        queue.finish(found, outcomes(kind, found, FAULT))
    job = queue.job(job_id)
    assert (job.state, job.error, job.summary) == (state, FAULT.as_json(), None)
    assert states(queue, job_id) == ["plan:done", "infer:dead", "infer:dead"]


def test_the_only_segment_of_a_job_is_never_missing(queue: Queue) -> None:
    job_id, found = infer(queue, allow_partial=True)
    queue.finish(found, outcomes(Failed, found, FAULT))
    assert (queue.job(job_id).state, list(queue.job(job_id).missing_ranges)) == (JobState.FAILED, [])


def test_a_plan_or_merge_that_fails_ends_a_job_that_allows_partial_success(queue: Queue) -> None:
    unplanned = queue.add_job(allow_partial=True, size_class="long")
    found = held(queue)
    queue.finish(found, outcomes(Failed, found, FAULT))
    assert queue.job(unplanned).state is JobState.FAILED
    unmerged = split(queue, 2, allow_partial=True)
    for _ in range(2):
        found = held(queue)
        queue.finish(found, outcomes(Done, found, rows_of(5)))
    found = held(queue)
    queue.finish(found, outcomes(Bury, found, FAULT))
    assert queue.job(unmerged).state is JobState.DEAD


def test_a_segment_that_went_missing_takes_no_late_result(queue: Queue) -> None:
    job_id = split(queue, 2, allow_partial=True, max_attempts=1)
    stale = held(queue)
    queue.lose_child("anna")
    assert not queue.holds(stale)
    assert queue.finish(stale, outcomes(Done, stale, rows_of(5))) == {stale.segments[0].id: False}
    assert queue.refusals(job_id) == [("done", "segment_ended")]
    assert queue.job(job_id).segments_left == 1


def test_a_child_that_dies_with_all_parts_that_are_left_leaves_a_merge(queue: Queue) -> None:
    job_id = split(queue, 3, allow_partial=True, max_attempts=1)
    found = held(queue)
    queue.finish(found, outcomes(Done, found, rows_of(5)))
    held(queue, "berta"), held(queue, "berta")
    assert queue.lose_child("berta").buried == 2
    assert states(queue, job_id)[1:] == ["infer:done", "infer:dead", "infer:dead", "merge:ready"]


# cancel


def test_cancel_ends_a_running_job_at_once_and_takes_its_claim(queue: Queue) -> None:
    job_id, found = infer(queue)
    assert queue.cancel(job_id)
    assert not queue.cancel(job_id)
    assert states(queue, job_id) == ["infer:dropped"]
    assert queue.heartbeat("anna", {}).held == frozenset()
    assert queue.finish(found, outcomes(Done, found, None, SUMMARY)) == {found.segments[0].id: False}
    assert queue.job(job_id).state is JobState.CANCELED


def test_a_finished_job_is_not_canceled(queue: Queue) -> None:
    job_id, found = infer(queue)
    queue.finish(found, outcomes(Done, found, None, SUMMARY))
    assert not queue.cancel(job_id)
    assert queue.job(job_id).state is JobState.SUCCEEDED


# heartbeat


def test_a_heartbeat_tells_what_is_held_and_carries_progress(queue: Queue) -> None:
    job_id, found = infer(queue)
    beat = queue.heartbeat("anna", {found.segments[0].id: (2, 4)})
    assert (beat.held, beat.draining, beat.lost) == (frozenset({found.id}), False, False)
    assert queue.job(job_id).progress == 0.5
    queue.heartbeat("anna", {found.segments[0].id: (1, 4)})
    assert queue.job(job_id).progress == 0.5


def test_progress_never_falls_when_a_segment_comes_back(queue: Queue) -> None:
    job_id, found = infer(queue)
    queue.heartbeat("anna", {found.segments[0].id: (3, 4)})
    queue.finish(found, outcomes(GiveBack, found))
    again = held(queue)
    queue.heartbeat("anna", {again.segments[0].id: (1, 4)})
    assert queue.job(job_id).progress == 0.75


def test_a_worker_cannot_report_progress_of_what_another_holds(queue: Queue) -> None:
    job_id, found = infer(queue)
    queue.heartbeat("berta", {found.segments[0].id: (4, 4)})
    assert queue.job(job_id).progress == 0.0


def test_what_a_worker_holds_without_knowing_goes_back_after_a_time(queue: Queue) -> None:
    forgotten, known = queue.add_job(tag=1.0), queue.add_job(tag=2.0, batch_key="other")
    held(queue)
    found = held(queue)
    queue.heartbeat("anna", {}, in_hand={found.id})
    assert states(queue, forgotten) == ["plan:claimed"], "the claim's answer may still be on its way"
    queue.pass_time(LEFT_BEHIND_SECONDS + 1)
    queue.heartbeat("berta", {}, in_hand=set())
    queue.heartbeat("anna", {})
    assert states(queue, forgotten) == ["plan:claimed"]
    queue.heartbeat("anna", {}, in_hand={found.id})
    assert (states(queue, forgotten), states(queue, known)) == (["plan:ready"], ["plan:claimed"])
    assert (queue.job(forgotten).state, queue.job(forgotten).attempts) == (JobState.QUEUED, 0)
    assert jobs_of(claim(queue, "berta")) == [forgotten]


def test_a_heartbeat_tells_of_draining_and_of_being_lost(queue: Queue) -> None:
    queue.drain("anna")
    assert queue.heartbeat("anna", {}).draining
    queue.lose_child("berta")
    assert queue.heartbeat("berta", {}).lost
    assert queue.heartbeat("nobody", {}).lost
