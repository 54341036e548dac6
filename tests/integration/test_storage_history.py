"""The history of jobs: every change leaves its event, with run, segment, claim and worker."""

from __future__ import annotations

from typing import Any

import pytest

from storage.database import Database
from storage.history import KINDS
from storage.job import Bury, Claim, Done, Failed, Fault, GiveBack, InputRef, JobState, Retry, Rows, SegmentPlan
from tests.fakes.sql_queue import SqlQueue, rows_of

WANTED: dict[str, Any] = {"lanes": ["cpu"], "size_classes": ["short", "long"], "serves": [("motion", 1)]}
FAULT = Fault("device.failed", "it broke")

#: of one segment in one claim; the others are of the job
OF_A_CLAIM = {"claimed", "planned", "done", "rejected", "buried", "retried", "held_up", "given_back", "lost", "refused"}

#: of webhooks, dead letters and retention; their own tests look at them
TOLD_BY_OTHERS = {"webhook", "discarded", "input_deleted", "results_deleted"}


@pytest.fixture
def queue(database: Database) -> SqlQueue:
    queue = SqlQueue(database)
    queue.register("anna")
    return queue


def take(queue: SqlQueue) -> Claim:
    found = queue.claim("anna", limit=1, **WANTED)
    assert found is not None
    return found


def plan(queue: SqlQueue, parts: int = 1) -> Claim:
    found = take(queue)
    queue.plan(found, found.segments[0].id, [SegmentPlan()] * parts, media={})
    return found


def finish(queue: SqlQueue, kind: Any, *details: Any) -> None:
    found = take(queue)
    queue.finish(found, [kind(found.segments[0].id, *details)])


def a_full_life(queue: SqlQueue) -> list[str]:
    """Jobs that meet everything that can happen; their ids."""
    video = queue.add_job(size_class="long")
    plan(queue, 2)
    finish(queue, GiveBack)
    finish(queue, Retry, FAULT, 0.0, True)
    finish(queue, Retry, FAULT, 30.0, False)
    queue.pass_time(60)
    take(queue)
    queue.lose_child("anna")
    queue.register("anna")
    finish(queue, Done, rows_of(1))
    finish(queue, Done, rows_of(1))
    finish(queue, Done, None, {"ok": 1})
    broken = queue.add_job()
    finish(queue, Failed, FAULT)
    lost = queue.add_job()
    finish(queue, Bury, FAULT)
    queue.store.replay(lost)
    stale = take(queue)
    queue.cancel(lost)
    queue.finish(stale, [GiveBack(stale.segments[0].id)])
    remote = queue.add_job(state=JobState.UPLOADING, input=InputRef(source_url="https://example.org/a"))
    queue.store.attach_input(remote, InputRef(key="inputs/r/source"))
    return [video, broken, lost, remote]


def test_every_kind_of_event_is_written_and_named_in_the_vocabulary(queue: SqlQueue) -> None:
    found = [event["kind"] for job_id in a_full_life(queue) for event in queue.store.events(job_id)]
    assert set(found) == set(KINDS) - TOLD_BY_OTHERS


def test_events_of_a_claim_name_run_segment_claim_and_worker(queue: SqlQueue) -> None:
    for job_id in a_full_life(queue):
        for event in queue.store.events(job_id):
            named = [event["segment_id"] is not None, event["claim_id"] is not None, event["worker_id"] == "anna"]
            if event["kind"] in OF_A_CLAIM:
                assert named == [True, True, True], event
            assert event["run"] >= 1


def test_a_done_event_names_the_rows_that_were_accepted(queue: SqlQueue) -> None:
    job_id = queue.add_job()
    found = plan(queue)
    rows = Rows(count=3, size_bytes=9, sha256="a" * 64, key="results/a/1/s/c.jsonl.gz")
    queue.finish(found, [Done(found.segments[0].id, rows, {"ok": 1})])
    (done,) = [event for event in queue.store.events(job_id) if event["kind"] == "done"]
    assert done["data"] == {"rows": 3, "rows_key": rows.key, "sha256": rows.sha256}
    assert done["segment"] == 0


def test_a_refused_event_carries_the_run_in_which_the_claim_was_made(queue: SqlQueue) -> None:
    job_id = queue.add_job()
    stale = plan(queue)
    queue.cancel(job_id)
    queue.store.replay(job_id)
    assert queue.finish(stale, [Done(stale.segments[0].id, rows_of(1), {"ok": 1})]) == {stale.segments[0].id: False}
    (refused,) = [event for event in queue.store.events(job_id) if event["kind"] == "refused"]
    assert (refused["run"], refused["claim_id"]) == (1, stale.id)
    assert refused["data"] == {"outcome": "done", "reason": "replayed"}


def test_a_late_outcome_of_an_erased_job_leaves_no_trace(queue: SqlQueue) -> None:
    job_id = queue.add_job()
    stale = plan(queue)
    queue.store.erase(job_id)
    assert queue.finish(stale, [Done(stale.segments[0].id, rows_of(1), {"ok": 1})]) == {stale.segments[0].id: False}
    assert queue.execute("SELECT * FROM job_events WHERE job_id = CAST(:id AS uuid)", id=job_id) == []
