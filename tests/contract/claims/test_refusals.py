"""What is refused is recorded with its reason; what is accepted again is not."""

from __future__ import annotations

from storage.job import Bury, Done, Failed, GiveBack, JobState, Retry
from tests.contract.claims.bed import FAULT, SUMMARY, Queue, held, infer, outcomes, plan, split
from tests.fakes.sql_queue import rows_of


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
