"""Heartbeats: what is held, how far it is, and what a worker has forgotten."""

from __future__ import annotations

from storage.claims import LEFT_BEHIND_SECONDS
from storage.job import GiveBack, JobState
from tests.contract.claims.bed import Queue, claim, held, infer, jobs_of, outcomes, states


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
