"""Discarded letters leave the lists, until their job dies again."""

from __future__ import annotations

from functools import partial

import pytest

from storage.dead.filter import DeadFilter
from storage.job import Fault, JobState
from tests.integration.dead_letters.morgue import OPERATOR, Morgue
from tests.integration.racing import together


def test_discarded_letters_leave_the_lists_and_no_order_finds_them(morgue: Morgue) -> None:
    jobs = [morgue.buried() for _ in range(3)]
    kept = morgue.buried(Fault("worker.lost", "gone"))
    assert morgue.dead.discard(DeadFilter(code="model.failed"), by=OPERATOR) == 3
    assert morgue.dead.discard(DeadFilter(code="model.failed"), by=OPERATOR) == 0
    assert [job.id for job in morgue.dead.page(DeadFilter(), cursor=None, limit=5).jobs] == [kept]
    assert morgue.run(morgue.order()).replayed == 1
    job = morgue.queue.job(jobs[0])
    assert (job.state, job.discarded_by) == (JobState.DEAD, "key-1")
    events = [event["kind"] for event in morgue.queue.store.events(jobs[0])]
    assert events[-1] == "discarded"
    (_, entry) = [one for one in morgue.audit.page(cursor=None, limit=9).entries if one.action == "dead.discard"]
    assert (entry.by, entry.tenant, entry.target) == (
        "key-1", "ops", {"filter": {"code": "model.failed"}, "discarded": 3},
    )  # fmt: skip


def test_discarding_goes_on_chunk_by_chunk(morgue: Morgue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.dead.discarding.CHUNK", 2)
    for _ in range(5):
        morgue.buried()
    assert morgue.dead.discard(DeadFilter(), by=OPERATOR) == 5
    assert morgue.dead.groups(DeadFilter()).jobs_total == 0


def test_a_discarded_job_that_is_replayed_by_its_id_and_dies_again_is_listed_again(morgue: Morgue) -> None:
    job_id = morgue.buried()
    morgue.dead.discard(DeadFilter(job_ids=[job_id]), by=OPERATOR)
    morgue.queue.store.replay(job_id)
    assert morgue.queue.job(job_id).discarded_at is None
    morgue.bury_next()
    assert [job.id for job in morgue.dead.page(DeadFilter(), cursor=None, limit=5).jobs] == [job_id]


def test_discard_and_order_at_once_leave_each_job_to_one_of_them(morgue: Morgue) -> None:
    for _ in range(10):
        jobs = [morgue.buried() for _ in range(3)]
        order = morgue.order()
        morgue.later(order, 10)
        together(
            partial(morgue.steps.step, order.id), partial(morgue.dead.discard, DeadFilter(job_ids=jobs), by=OPERATOR)
        )
        for job_id in jobs:
            job = morgue.queue.job(job_id)
            assert (job.state is JobState.QUEUED) == (job.discarded_at is None)
            morgue.queue.cancel(job_id)
