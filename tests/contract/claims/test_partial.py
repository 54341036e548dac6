"""Jobs that may succeed without the segments that could not be run."""

from __future__ import annotations

from typing import Any

import pytest

from storage.fleet import MAX_LOSSES
from storage.job import Bury, Done, Failed, JobState, Retry, SegmentKind
from tests.contract.claims.bed import FAULT, SUMMARY, Queue, held, infer, outcomes, plan, split, states
from tests.fakes.sql_queue import rows_of


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
