"""Jobs as clients see them, on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.database import Database
from storage.errors import (
    CursorInvalid,
    IdempotencyConflict,
    InputGone,
    JobNotFound,
    StateConflict,
    UploadNotFound,
)
from storage.ids import new_id
from storage.job import Claim, Done, Failed, Fault, InputRef, JobState, Priority, Retry, Rows, SegmentPlan, SegmentState
from storage.jobs import JobFilter
from storage.objects.port import StoredObject
from storage.uploads import Upload, UploadStore
from tests.fakes.sql_queue import SqlQueue, new_job, rows_of

WANTED: dict[str, Any] = {"lanes": ["cpu"], "size_classes": ["short", "long"], "serves": [("motion", 1)]}
FAULT = Fault("device.failed", "it broke")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def queue(database: Database) -> SqlQueue:
    queue = SqlQueue(database)
    queue.register("worker")
    return queue


def take(queue: SqlQueue) -> Claim:
    found = queue.claim("worker", limit=1, **WANTED)
    assert found is not None
    return found


def split(queue: SqlQueue, parts: int, **fields: Any) -> str:
    job_id = queue.add_job(size_class="long", **fields)
    found = take(queue)
    plans = [SegmentPlan(10 * index, 10 * index + 10, 5) for index in range(parts)]
    queue.plan(found, found.segments[0].id, plans, media={"kind": "video"}, warnings=[{"code": "media.damaged"}])
    return job_id


def finish(queue: SqlQueue, **fields: Any) -> Claim:
    found = take(queue)
    queue.finish(found, [Done(found.segments[0].id, rows_of(5), **fields)])
    return found


def kinds(queue: SqlQueue, job_id: str) -> list[str]:
    return [str(event["kind"]) for event in queue.store.events(job_id)]


# create


def test_a_job_is_stored_as_it_was_asked_for(queue: SqlQueue) -> None:
    source = InputRef("inputs/x", 7, "etag", "ab", "clip\u0000\udcff.mp4", "video/mp4")
    wanted = new_job(
        priority=Priority.HIGH, metadata={"camera": 3, "text": "nul \x00 here"}, input=source, cost_seconds=2.5,
        max_attempts=5, size_class="long",
    )  # fmt: skip
    created = queue.store.create(wanted)
    assert created.fresh
    job = queue.store.get(wanted.id, "tenant")
    assert job == created.job
    assert (job.state, job.run, job.priority, job.terminal) == (JobState.QUEUED, 1, Priority.HIGH, False)
    assert (job.metadata, job.cost_seconds) == ({"camera": 3, "text": "nul \ufffd here"}, 2.5)
    assert (job.input.filename, job.input.content_type) == ("clip\ufffd?.mp4", "video/mp4")
    assert (job.segments_total, job.progress, job.summary, job.error) == (0, 0.0, None, None)
    assert job.queued_at is not None
    assert job.created_at.tzinfo is not None
    assert kinds(queue, job.id) == ["submitted"]


def test_a_job_with_a_later_start_waits_for_it(queue: SqlQueue) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    job_id = queue.add_job(run_after=later)
    assert [segment.state for segment in queue.segments(job_id)] == [SegmentState.WAITING]
    assert queue.job(job_id).run_after == later
    assert queue.claim("worker", limit=1, **WANTED) is None
    queue.pass_time(3601)
    assert take(queue).segments[0].job_id == job_id
    assert "due" in kinds(queue, job_id)


def test_the_same_idempotency_key_gives_the_same_job_again(queue: SqlQueue) -> None:
    first = queue.store.create(new_job(idempotency_key="k"))
    again = queue.store.create(new_job(idempotency_key="k"))
    other_tenant = queue.store.create(new_job(idempotency_key="k", tenant="other"))
    assert (again.fresh, again.job.id) == (False, first.job.id)
    assert other_tenant.fresh
    with pytest.raises(IdempotencyConflict):
        queue.store.create(new_job(idempotency_key="k", fingerprint="another request"))


def test_an_uploading_job_is_queued_once_its_input_is_there(queue: SqlQueue) -> None:
    source = InputRef(source_url="https://example.org/clip.mp4", filename="clip.mp4")
    job_id = queue.add_job(state=JobState.UPLOADING, input=source)
    assert [job.id for job in queue.store.uploading(10)] == [job_id]
    assert queue.segments(job_id) == []
    attached = InputRef(key=f"inputs/{job_id}/source", size_bytes=9, etag="e", sha256="ab", content_type="video/mp4")
    assert queue.store.attach_input(job_id, attached)
    assert not queue.store.attach_input(job_id, attached)
    job = queue.job(job_id)
    assert (job.state, job.input.key, job.input.filename) == (JobState.QUEUED, attached.key, "clip.mp4")
    assert job.input.source_url == source.source_url
    assert queue.store.uploading(10) == []
    assert take(queue).segments[0].input == job.input


def test_an_input_that_arrives_after_the_end_is_refused(queue: SqlQueue) -> None:
    job_id = queue.add_job(state=JobState.UPLOADING, input=InputRef(source_url="https://example.org/x"))
    assert queue.store.fail(job_id, FAULT, from_states=[JobState.UPLOADING])
    assert not queue.store.fail(job_id, FAULT, from_states=[JobState.UPLOADING])
    assert not queue.store.attach_input(job_id, InputRef(key="x"))
    assert not queue.store.attach_input(new_id(), InputRef(key="x"))
    assert (queue.job(job_id).state, queue.job(job_id).error) == (JobState.FAILED, FAULT.as_json())


# uploads


def upload(queue: SqlQueue, *, expires_at: datetime = NOW + timedelta(days=3650)) -> Upload:
    upload_id = new_id()
    key = f"uploads/{upload_id}/source"
    row = Upload(upload_id, "tenant", "open", key, "m", 100, 50, "clip.mp4", "video/mp4", None, NOW, expires_at)
    return UploadStore(queue.database).create(row)


def test_a_complete_upload_is_taken_by_one_job_alone(queue: SqlQueue) -> None:
    uploads, mine = UploadStore(queue.database), upload(queue)
    with pytest.raises(StateConflict, match="open"):
        queue.add_job(upload_id=mine.id)
    stored = StoredObject(mine.key, 99, "etag", "ab")
    complete = uploads.complete(mine.id, "tenant", stored)
    assert (complete.state, complete.size_bytes, complete.etag) == ("complete", 99, "etag")
    assert uploads.complete(mine.id, "tenant", stored) == complete
    queue.add_job(upload_id=mine.id, idempotency_key="k")
    assert uploads.get(mine.id, "tenant").state == "taken"
    assert not queue.store.create(new_job(upload_id=mine.id, idempotency_key="k")).fresh
    with pytest.raises(StateConflict, match="taken"):
        queue.add_job(upload_id=mine.id)
    assert uploads.expire() == []


def test_another_tenants_or_unknown_upload_is_not_found(queue: SqlQueue) -> None:
    uploads, mine = UploadStore(queue.database), upload(queue)
    for upload_id, tenant in ((mine.id, "other"), (new_id(), "tenant"), ("no id", "tenant")):
        with pytest.raises(UploadNotFound):
            uploads.get(upload_id, tenant)
        with pytest.raises(UploadNotFound):
            queue.add_job(upload_id=upload_id, tenant=tenant)
    assert queue.execute("SELECT FROM jobs") == []


def test_uploads_past_their_time_expire_once(queue: SqlQueue) -> None:
    uploads, old, young = UploadStore(queue.database), upload(queue, expires_at=NOW), upload(queue)
    assert [row.id for row in uploads.expire()] == [old.id]
    assert uploads.expire() == []
    with pytest.raises(StateConflict, match="expired"):
        uploads.complete(old.id, "tenant", StoredObject(old.key, 99, "etag"))
    assert uploads.get(young.id, "tenant").state == "open"


# read


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
    finish(queue, summary={}, timings={"merge": 0.25})
    timings = queue.job(job_id).timings
    assert (timings["decode"], timings["model"], timings["merge"]) == (1.5, 2.0, 0.25)
    assert timings["queue_seconds"] >= 0
    assert timings["run_seconds"] >= 0


def test_a_result_that_postgresql_would_refuse_is_cleaned_and_stored(queue: SqlQueue) -> None:
    job_id = queue.add_job()
    found = take(queue)
    queue.plan(found, found.segments[0].id, [SegmentPlan()], media={"title": "a\x00b"})
    queue.finish(found, [Done(found.segments[0].id, summary={"mean": float("nan"), "text": "\ud800", "n": 2**70})])
    assert queue.job(job_id).summary == {"mean": None, "text": "?", "n": 2**70}


# replay


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


# erase


def test_erase_deletes_everything_and_names_the_objects_left_over(queue: SqlQueue) -> None:
    job_id = split(queue, 2)
    found = take(queue)
    rows = Rows(count=1, size_bytes=1, sha256="x", key=f"results/{job_id}/1/{found.segments[0].id}/{found.id}.jsonl.gz")
    queue.finish(found, [Done(found.segments[0].id, rows)])
    running = take(queue)
    assert queue.store.erase(job_id) == sorted([f"inputs/{job_id}/source", str(rows.key)])
    assert queue.finish(running, [Done(running.segments[0].id)]) == {running.segments[0].id: False}
    assert not queue.holds(running)
    with pytest.raises(JobNotFound):
        queue.job(job_id)
    for table in ("jobs", "segments", "job_events"):
        assert queue.execute(f"SELECT FROM {table}") == []
