"""What has had its time goes, row first, then object; what may still run stays."""

from __future__ import annotations

from contextlib import suppress

import pytest

from storage.audit import Actor
from storage.batches.rows import NewBatch
from storage.batches.store import BatchStore
from storage.dead.filter import DeadFilter
from storage.dead.letters import DeadLetters
from storage.errors import IdempotencyConflict, JobNotFound, ObjectStoreUnavailable
from storage.ids import new_id
from storage.job import JobState
from storage.retention import Keep
from tests.fakes.sql_queue import new_job
from tests.integration.retention.bed import DAY, KEEP, Bed


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED])
@pytest.mark.parametrize(
    ("days", "left"),
    [(29, ["inputs", "results"]), (31, ["results"]), (89, ["results"]), (91, [])],
)
def test_inputs_and_results_of_ended_jobs_go_each_in_its_time(
    bed: Bed, state: JobState, days: float, left: list[str]
) -> None:
    job_id = bed.ended(state, days=days)
    bed.duty.run_pass()
    bed.duty.run_pass()
    assert bed.stored(job_id) == left
    job = bed.queue.job(job_id)
    assert (job.input.key is None, job.input_deleted_at is None) == ("inputs" not in left, "inputs" in left)
    assert (job.results_deleted_at is None) == ("results" in left)
    assert bed.kinds(job_id).count("input_deleted") == ("inputs" not in left)
    assert bed.kinds(job_id).count("results_deleted") == ("results" not in left)


@pytest.mark.parametrize(("days", "left"), [(59, ["inputs", "results"]), (61, [])])
def test_a_dead_letter_keeps_all_until_its_own_time(bed: Bed, days: float, left: list[str]) -> None:
    job_id = bed.ended(JobState.DEAD, days=days)
    bed.duty.run_pass()
    assert bed.stored(job_id) == left
    (letter,) = DeadLetters(bed.queue.database).page(DeadFilter(), cursor=None, limit=5).jobs
    assert (letter.input_state, letter.refusal is None) == (("stored", True) if left else ("deleted", False))


def test_a_discarded_letter_goes_as_any_ended_job(bed: Bed) -> None:
    job_id = bed.ended(JobState.DEAD, days=31)
    bed.duty.run_pass()
    assert bed.stored(job_id) == ["inputs", "results"]
    DeadLetters(bed.queue.database).discard(DeadFilter(), by=Actor("key"))
    bed.duty.run_pass()
    assert bed.stored(job_id) == ["results"]


def test_for_ever_is_for_ever(bed: Bed) -> None:
    bed.keep(Keep())
    jobs = [bed.ended(state, days=5000) for state in (JobState.SUCCEEDED, JobState.DEAD)]
    bed.duty.run_pass()
    assert [bed.stored(job_id) for job_id in jobs] == [["inputs", "results"]] * 2


@pytest.mark.parametrize("state", ["uploading", "queued", "running"])
def test_nothing_of_a_job_that_has_not_ended_is_touched(bed: Bed, state: str) -> None:
    job_id = bed.job()
    bed.queue.execute(
        "UPDATE jobs SET state = :state, created_at = created_at - interval '10 years',"
        " updated_at = updated_at - interval '10 years'", state=state,
    )  # fmt: skip
    bed.duty.run_pass()
    assert bed.stored(job_id) == ["inputs"]
    assert bed.queue.job(job_id).state == state


def test_rows_go_last_with_all_that_hangs_on_them(bed: Bed) -> None:
    old, young = bed.ended(days=366), bed.ended(days=364)
    bed.duty.run_pass()
    with pytest.raises(JobNotFound):
        bed.queue.job(old)
    assert bed.queue.job(young).summary == {"boxes": 3}
    for table in ("segments", "job_events"):
        assert bed.queue.execute(f"SELECT FROM {table} WHERE job_id = CAST(:id AS uuid)", id=old) == []
    assert bed.stored(old) == bed.stored(young) == []


def test_a_dead_letter_that_is_kept_for_ever_keeps_its_row(bed: Bed) -> None:
    bed.keep(Keep(inputs=DAY, results=DAY, dead=0, jobs=2 * DAY))
    dead, done = bed.ended(JobState.DEAD, days=100), bed.ended(days=100)
    bed.duty.run_pass()
    assert bed.stored(dead) == ["inputs", "results"]
    assert bed.queue.job(dead).state is JobState.DEAD
    with pytest.raises(JobNotFound):
        bed.queue.job(done)


def test_an_idempotency_key_is_known_as_long_as_its_job(bed: Bed) -> None:
    job_id = bed.ended(days=364, idempotency_key="one", fingerprint="same")
    bed.duty.run_pass()
    again = bed.queue.store.create(new_job(idempotency_key="one", fingerprint="same"))
    assert (again.job.id, again.fresh) == (job_id, False)
    with pytest.raises(IdempotencyConflict):
        bed.queue.store.create(new_job(idempotency_key="one", fingerprint="another"))
    bed.queue.execute("UPDATE jobs SET finished_at = finished_at - interval '2 days'")
    bed.duty.run_pass()
    assert bed.queue.store.create(new_job(idempotency_key="one", fingerprint="another")).fresh


def test_a_webhook_that_is_still_to_be_sent_keeps_its_job(bed: Bed) -> None:
    job_id = bed.ended(days=400, webhook_url="https://example.org/hook")
    bed.duty.run_pass()
    assert bed.queue.job(job_id).state is JobState.SUCCEEDED
    bed.queue.execute("UPDATE webhook_events SET state = 'delivered', next_at = NULL")
    bed.duty.run_pass()
    with pytest.raises(JobNotFound):
        bed.queue.job(job_id)


def test_a_batch_goes_when_its_jobs_have_gone(bed: Bed) -> None:
    batches = BatchStore(bed.queue.database)
    old, young = new_id(), new_id()
    for batch_id in (old, young):
        batches.create(NewBatch(id=batch_id, tenant="tenant", fingerprint=batch_id))
    bed.ended(days=366, batch_id=old)
    kept = bed.ended(days=300, batch_id=young)
    for batch_id in (old, young):
        for index in range(10, 17):
            bed.queue.execute(
                "INSERT INTO batch_items (batch_id, index, state, digest, item, error)"
                " VALUES (CAST(:id AS uuid), :index, 'rejected', 'd', '{}', '{}')", id=batch_id, index=index,
            )  # fmt: skip
    bed.queue.execute("UPDATE batches SET state = 'finished', finished_at = clock_timestamp() - interval '366 days'")
    bed.keep(KEEP, batch=3)
    bed.duty.run_pass()
    assert [row.id for row in bed.queue.execute("SELECT id::text AS id FROM batches")] == [young]
    assert bed.count("batch_items") == 8
    assert bed.queue.job(kept).batch_id == young


def test_passes_are_bounded_and_come_to_an_end(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.dispatcher.retention.ROUNDS", 2)
    bed.keep(KEEP, batch=2)
    jobs = [bed.ended(days=31) for _ in range(9)]
    left = []
    for _ in range(4):
        bed.duty.run_pass()
        left.append(sum("inputs" in bed.stored(job_id) for job_id in jobs))
    assert left == [5, 1, 0, 0]


# between row and object


def test_what_a_crash_leaves_between_row_and_object_is_swept(bed: Bed, old_litter: None) -> None:
    old, replayable = bed.ended(days=100), bed.ended(JobState.DEAD, days=59)
    bed.objects.down = True
    for _ in range(2):
        with suppress(ObjectStoreUnavailable):
            bed.duty.run_pass()
    bed.objects.down = False
    assert bed.queue.job(old).input_deleted_at is not None
    assert "inputs" in bed.stored(old)
    for _ in range(3):
        bed.duty.run_pass()
    bed.walk()
    assert bed.stored(old) == []
    assert bed.stored(replayable) == ["inputs", "results"]
