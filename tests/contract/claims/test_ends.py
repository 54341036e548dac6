"""What ends a segment and its job: results with their artifacts, failures, and a cancel."""

from __future__ import annotations

import pytest

from storage.artifacts import Artifact
from storage.job import Bury, Claim, Done, Failed, GiveBack, JobState, Retry, SegmentKind, SegmentPlan
from storage.objects.keys import artifact_key
from tests.contract.claims.bed import FAULT, SUMMARY, Queue, held, infer, outcomes, split, states
from tests.fakes.sql_queue import rows_of


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
