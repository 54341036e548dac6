"""A replay is a new run: what it keeps, what it does again, and what is refused."""

from __future__ import annotations

import pytest

from storage.errors import InputGone, StateConflict
from storage.job import Done, Failed, InputRef, JobState, Retry, SegmentPlan, SegmentState
from tests.fakes.sql_queue import SqlQueue
from tests.integration.stored_jobs.bed import FAULT, finish, split, take


def test_replay_with_the_same_params_keeps_done_segments_and_runs_the_others(queue: SqlQueue) -> None:
    job_id = split(queue, 3, max_attempts=1)
    kept = finish(queue, timings={"decode": 1.0})
    doomed = take(queue)
    queue.finish(doomed, [Retry(doomed.segments[0].id, FAULT, 0.0, charged=True)])
    assert queue.job(job_id).state is JobState.DEAD
    job = queue.store.replay(job_id)
    assert (job.run, job.state, job.segments_total, job.segments_left) == (2, JobState.QUEUED, 3, 2)
    assert (job.attempts, job.error, job.finished_at, job.media) == (0, None, None, {"kind": "video"})
    assert (job.frames, job.timings) == (5, {"decode": 1.0})
    assert 0.3 < job.progress < 0.34
    results = queue.store.segment_results(job_id, 2)
    assert [result.state for result in results] == [SegmentState.DONE, SegmentState.READY, SegmentState.READY]
    assert [segment.claim_id for segment in queue.segments(job_id) if segment.index == 0][1] == kept.id
    assert {finish(queue).segments[0].index for _ in range(2)} == {1, 2}
    finish(queue, summary={"ok": 1})
    assert (queue.job(job_id).state, queue.job(job_id).frames) == (JobState.SUCCEEDED, 15)


def a_partial_success(queue: SqlQueue) -> str:
    """A job of three parts that succeeded without the first."""
    job_id = split(queue, 3, allow_partial=True)
    found = take(queue)
    queue.finish(found, [Failed(found.segments[0].id, FAULT)])
    finish(queue)
    finish(queue)
    finish(queue, summary={"parts": 2})
    job = queue.job(job_id)
    assert (job.state, len(job.missing_ranges), job.warnings[0]["code"]) == (JobState.SUCCEEDED, 1, "result.partial")
    return job_id


def test_replay_of_a_partial_success_runs_only_what_is_missing(queue: SqlQueue) -> None:
    job_id = a_partial_success(queue)
    job = queue.store.replay(job_id)
    assert (job.run, job.state, job.segments_total, job.segments_left) == (2, JobState.QUEUED, 3, 1)
    assert (job.summary, job.missing_ranges, job.frames) == (None, [], 10)
    assert [warning["code"] for warning in job.warnings] == ["media.damaged"]
    again = finish(queue)
    assert [(segment.index, segment.run) for segment in again.segments] == [(0, 2)]
    finish(queue, summary={"parts": 3})
    job = queue.job(job_id)
    assert (job.state, job.summary, job.frames, job.missing_ranges) == (JobState.SUCCEEDED, {"parts": 3}, 15, [])
    assert "result.partial" not in str(job.warnings)


def test_replay_of_a_partial_success_may_stay_partial(queue: SqlQueue) -> None:
    job_id = a_partial_success(queue)
    queue.store.replay(job_id)
    found = take(queue)
    queue.finish(found, [Failed(found.segments[0].id, FAULT)])
    finish(queue, summary={"parts": 2})
    job = queue.job(job_id)
    assert (job.run, job.state, len(job.missing_ranges)) == (2, JobState.SUCCEEDED, 1)
    assert [warning["code"] for warning in job.warnings] == ["result.partial", "media.damaged"]


def test_replay_of_a_partial_success_with_other_params_plans_again(queue: SqlQueue) -> None:
    job_id = a_partial_success(queue)
    job = queue.store.replay(job_id, params={"stride": 9}, batch_key="other")
    assert (job.segments_total, job.missing_ranges, job.warnings) == (0, [], [])
    assert take(queue).segments[0].kind == "plan"


def test_replay_of_a_job_whose_merge_failed_merges_again(queue: SqlQueue) -> None:
    job_id = split(queue, 2)
    finish(queue)
    finish(queue)
    merge = take(queue)
    queue.finish(merge, [Failed(merge.segments[0].id, FAULT)])
    assert queue.store.replay(job_id).segments_left == 0
    again = take(queue)
    assert (again.segments[0].kind, again.segments[0].run) == ("merge", 2)
    queue.finish(again, [Done(again.segments[0].id, summary={"ok": 1})])
    assert queue.job(job_id).state is JobState.SUCCEEDED


def test_replay_with_changed_params_plans_again(queue: SqlQueue) -> None:
    job_id = split(queue, 2)
    finish(queue)
    queue.cancel(job_id)
    job = queue.store.replay(job_id, params={"stride": 9}, batch_key="other")
    assert (job.run, job.params, job.segments_total, job.progress) == (2, {"stride": 9}, 0, 0.0)
    assert (job.warnings, job.media, job.frames) == ([], None, 0)
    found = take(queue)
    (segment,) = found.segments
    assert (segment.kind, segment.run, segment.batch_key, segment.params) == ("plan", 2, "other", {"stride": 9})
    assert queue.store.segment_results(job_id, 2) == []
    assert {segment.rows_key for segment in queue.segments(job_id)} == {None}


def test_replay_of_a_success_does_everything_again(queue: SqlQueue) -> None:
    job_id = queue.add_job()
    found = take(queue)
    queue.plan(found, found.segments[0].id, [SegmentPlan()], media={})
    queue.finish(found, [Done(found.segments[0].id, summary={"by": 1})])
    job = queue.store.replay(job_id)
    assert (job.run, job.state, job.summary, job.segments_total) == (2, JobState.QUEUED, None, 0)
    assert take(queue).segments[0].kind == "plan"


def test_replay_drops_the_late_finish_of_the_earlier_run(queue: SqlQueue) -> None:
    job_id = queue.add_job()
    stale = take(queue)
    queue.plan(stale, stale.segments[0].id, [SegmentPlan()], media={})
    queue.lose_child("worker")
    queue.cancel(job_id)
    queue.store.replay(job_id)
    assert queue.finish(stale, [Done(stale.segments[0].id, summary={"by": "stale"})]) == {stale.segments[0].id: False}
    assert (queue.job(job_id).state, queue.job(job_id).summary) == (JobState.QUEUED, None)
    queue.register("worker")
    assert take(queue).segments[0].run == 2


def test_replay_refuses_what_has_not_ended_or_lost_its_input(queue: SqlQueue) -> None:
    job_id = queue.add_job()
    with pytest.raises(StateConflict):
        queue.store.replay(job_id)
    queue.cancel(job_id)
    queue.execute("UPDATE jobs SET input_key = NULL WHERE id = CAST(:id AS uuid)", id=job_id)
    with pytest.raises(InputGone):
        queue.store.replay(job_id)
    with pytest.raises(ValueError, match="batch_key"):
        queue.store.replay(job_id, params={})


def test_replay_of_a_failed_ingest_fetches_again(queue: SqlQueue) -> None:
    job_id = queue.add_job(state=JobState.UPLOADING, input=InputRef(source_url="https://example.org/x"))
    queue.store.fail(job_id, FAULT, from_states=[JobState.UPLOADING])
    assert queue.store.replay(job_id).state is JobState.UPLOADING
    assert queue.store.attach_input(job_id, InputRef(key="x"))
    assert take(queue).segments[0].run == 2
