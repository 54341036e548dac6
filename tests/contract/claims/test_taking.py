"""What a claim gives to whom, in which order, and what comes together in it."""

from __future__ import annotations

from typing import Any

import pytest

from storage.job import JobState, Retry, SegmentKind
from tests.contract.claims.bed import FAULT, Queue, claim, held, jobs_of, outcomes, plan, split


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
