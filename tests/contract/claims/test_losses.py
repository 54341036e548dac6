"""Work whose worker died or fell silent: who is charged, and whose late result still counts."""

from __future__ import annotations

import pytest

from storage.fleet import MAX_LOSSES
from storage.job import Done, JobState, SegmentState
from tests.contract.claims.bed import SUMMARY, Queue, claim, held, infer, jobs_of, outcomes, plan
from tests.fakes.sql_queue import rows_of


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


def test_losing_a_worker_that_holds_nothing_changes_nothing(queue: Queue) -> None:
    lost = queue.lose_child("anna")
    assert (lost.segments, lost.buried, lost.lanes) == (0, 0, frozenset())
