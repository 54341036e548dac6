"""Work that goes back by its worker's own word: retries, their charge and time, and giving back."""

from __future__ import annotations

from datetime import timedelta

from storage.job import Done, Fault, GiveBack, JobState, Retry, SegmentKind, SegmentState
from tests.contract.claims.bed import FAULT, SUMMARY, Queue, claim, held, infer, outcomes, split, states


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
