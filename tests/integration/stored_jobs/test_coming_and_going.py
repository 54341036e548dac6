"""Jobs come once, wait for their time or their input, and go without a trace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from storage.errors import IdempotencyConflict, JobNotFound
from storage.ids import new_id
from storage.job import Done, InputRef, JobState, Priority, Rows, SegmentState
from tests.fakes.sql_queue import SqlQueue, new_job
from tests.integration.stored_jobs.bed import FAULT, WANTED, kinds, split, take


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
