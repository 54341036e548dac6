"""Jobs as clients see them: documents, listings, results, history and timings."""

from __future__ import annotations

from typing import Any

import pytest

from storage.errors import CursorInvalid, JobNotFound
from storage.ids import new_id
from storage.job import Done, JobState, Rows, SegmentPlan, SegmentState
from storage.jobs import JobFilter
from tests.fakes.sql_queue import SqlQueue
from tests.integration.stored_jobs.bed import finish, kinds, split, take


def test_a_job_of_another_tenant_is_not_found(queue: SqlQueue) -> None:
    job_id = queue.add_job()
    for call in (queue.store.get, queue.store.cancel, queue.store.replay, queue.store.erase):
        for wrong in ((job_id, "other"), (new_id(), None), ("../etc/passwd", None), (job_id.upper(), None)):
            with pytest.raises(JobNotFound):
                call(*wrong)
    assert queue.store.get(job_id, "tenant").state is JobState.QUEUED


def test_a_listing_pages_newest_first_and_neither_skips_nor_repeats(queue: SqlQueue) -> None:
    made = [queue.add_job() for _ in range(7)]
    queue.add_job(tenant="other")
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        page = queue.store.list("tenant", JobFilter(), cursor=cursor, limit=3)
        seen += [job.id for job in page.jobs]
        cursor = page.next_cursor
    assert cursor is None
    assert seen == sorted(made, reverse=True)
    with pytest.raises(CursorInvalid):
        queue.store.list("tenant", JobFilter(), cursor="' OR 1=1", limit=3)


def test_a_listing_narrows_by_state_pipeline_time_and_metadata(queue: SqlQueue) -> None:
    first = queue.add_job(metadata={"camera": 3, "site": "north"})
    second = queue.add_job(metadata={"camera": "3"}, pipeline="detect")
    third = queue.add_job(metadata={"camera": 4})
    queue.cancel(third)
    middle = queue.job(second).created_at

    def found(**where: Any) -> list[str]:
        return [job.id for job in queue.store.list("tenant", JobFilter(**where), cursor=None, limit=10).jobs]

    assert found(states=[JobState.CANCELED]) == [third]
    assert found(states=[JobState.QUEUED, JobState.CANCELED]) == [third, second, first]
    assert found(states=[]) == []
    assert found(pipeline="detect") == [second]
    assert found(created_after=middle) == [third]
    assert found(created_before=middle) == [first]
    assert found(metadata={"camera": "3"}) == [second, first]
    assert found(metadata={"camera": "3", "site": "north"}) == [first]
    assert found(metadata={"camera": "3'; --"}) == []


def test_segment_results_come_in_order_of_time(queue: SqlQueue) -> None:
    job_id = split(queue, 3)
    found = take(queue)
    rows = Rows(count=2, size_bytes=6, sha256="c" * 64, inline=b"\x1f\x8b\x00\xff")
    queue.finish(found, [Done(found.segments[0].id, rows)])
    results = queue.store.segment_results(job_id, 1)
    assert [(result.index, result.start_pts, result.state) for result in results] == [
        (0, 0, SegmentState.DONE),
        (1, 10, SegmentState.READY),
        (2, 20, SegmentState.READY),
    ]
    assert [result.rows for result in results] == [rows, None, None]


def test_history_tells_every_step_with_its_claim_and_worker(queue: SqlQueue) -> None:
    job_id = split(queue, 2)
    finish(queue)
    finish(queue)
    merge = finish(queue, summary={"ok": 1})
    assert kinds(queue, job_id) == [
        "submitted", "claimed", "running", "planned", "claimed", "done", "claimed", "done", "merging", "claimed",
        "done", "succeeded",
    ]  # fmt: skip
    last = [event for event in queue.store.events(job_id) if event["kind"] == "done"][-1]
    assert (last["claim_id"], last["worker_id"], last["segment_id"]) == (merge.id, "worker", merge.segments[0].id)
    assert len(queue.store.events(job_id, after=last["id"])) == 1
    assert len(queue.store.events(job_id, limit=2)) == 2


def test_timings_add_up_and_tell_queue_and_run_time(queue: SqlQueue) -> None:
    job_id = split(queue, 2)
    finish(queue, timings={"decode": 1.0, "model": 2.0})
    finish(queue, timings={"decode": 0.5})
    earlier = "queued_at = queued_at - interval '100 s', started_at = started_at - interval '60 s'"
    queue.execute(f"UPDATE jobs SET {earlier} WHERE id = CAST(:id AS uuid)", id=job_id)
    finish(queue, summary={}, timings={"merge": 0.25})
    timings = queue.job(job_id).timings
    assert (timings["decode"], timings["model"], timings["merge"]) == (1.5, 2.0, 0.25)
    assert 40 <= timings["queue_seconds"] < 50
    assert 60 <= timings["run_seconds"] < 70


def test_a_result_that_postgresql_would_refuse_is_cleaned_and_stored(queue: SqlQueue) -> None:
    job_id = queue.add_job()
    found = take(queue)
    queue.plan(found, found.segments[0].id, [SegmentPlan()], media={"title": "a\x00b"})
    queue.finish(found, [Done(found.segments[0].id, summary={"mean": float("nan"), "text": "\ud800", "n": 2**70})])
    assert queue.job(job_id).summary == {"mean": None, "text": "?", "n": 2**70}
