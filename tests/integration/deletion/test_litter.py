"""What nobody names goes; what any row names stays, whatever state its job is in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from storage.ids import new_id
from storage.job import JobState
from storage.objects.keys import ingest_key, input_key, rows_key, upload_key
from tests.integration.deletion.bed import Bed, id_made
from workers.dispatcher.deletion import made_at


def test_an_id_tells_when_it_was_made() -> None:
    made = made_at(id_made(50))
    assert made is not None
    assert abs(datetime.now(UTC) - timedelta(hours=50) - made) < timedelta(minutes=1)
    assert made_at("not an id") is None
    assert made_at("") is None
    assert made_at(str(uuid4())) is None


def test_old_objects_that_no_row_names_are_deleted(bed: Bed) -> None:
    one, two = id_made(49), id_made(400)
    bed.put(
        input_key(one), ingest_key(one, new_id()), rows_key(two, 1, new_id(), new_id()), rows_key(two, 2, "s", "c"),
        upload_key(id_made(60)),
    )  # fmt: skip
    bed.walk()
    assert bed.stored() == []


def test_young_objects_stay_for_their_row_may_still_come(bed: Bed) -> None:
    young = [input_key(id_made(47)), upload_key(id_made(1)), rows_key(id_made(0), 1, "s", "c")]
    bed.put(*young)
    bed.walk()
    assert bed.stored() == sorted(young)


def test_objects_that_are_not_ours_stay(bed: Bed) -> None:
    foreign = [
        "backup.tar", "framequeue-check", "inputs/readme", "inputs/not-an-id/source", f"inputs/{uuid4()}/source",
        "other/" + id_made(500) + "/source", f"inputs/{id_made(500).upper()}/source",
    ]  # fmt: skip
    bed.put(*foreign)
    bed.walk()
    assert bed.stored() == sorted(foreign)


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.UPLOADING])
def test_everything_of_a_job_that_has_not_ended_stays(bed: Bed, state: JobState) -> None:
    job_id = id_made(300)
    bed.job(job_id)
    bed.queue.execute("UPDATE jobs SET state = :state WHERE id = :id", id=job_id, state=state.value)
    bed.put(rows_key(job_id, 1, "s", "claim in hand"), ingest_key(job_id, "copy under way"))
    before = bed.stored()
    bed.walk()
    assert bed.stored() == before
    assert len(before) == 3


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.DEAD, JobState.CANCELED])
def test_input_and_results_of_a_job_that_has_ended_stay_and_its_litter_goes(bed: Bed, state: JobState) -> None:
    job_id = id_made(300)
    source = bed.job(job_id)
    named, stale = rows_key(job_id, 1, "s", "winner"), rows_key(job_id, 1, "s", "loser")
    bed.put(named, stale)
    bed.queue.execute("UPDATE segments SET rows_key = :key WHERE job_id = :id", key=named, id=job_id)
    bed.end(job_id, state)
    bed.walk()
    assert bed.stored() == sorted([source, named])


def test_results_of_a_job_that_has_just_ended_stay_for_a_late_worker_may_still_write(bed: Bed) -> None:
    job_id = id_made(300)
    bed.job(job_id)
    stale = rows_key(job_id, 1, "s", "loser")
    bed.put(stale)
    bed.end(job_id, JobState.SUCCEEDED, hours_ago=1)
    bed.walk()
    assert stale in bed.stored()


def test_a_dead_job_can_be_replayed_after_any_number_of_walks(bed: Bed) -> None:
    job_id = id_made(2000)
    source = bed.job(job_id)
    bed.end(job_id, JobState.DEAD, hours_ago=1500)
    bed.walk()
    bed.walk()
    bed.queue.store.replay(job_id)
    bed.walk()
    assert bed.stored() == [source]
    assert bed.queue.job(job_id).state is JobState.QUEUED


def test_what_an_erased_job_left_behind_goes(bed: Bed) -> None:
    erased, kept = id_made(300), id_made(300)
    bed.job(erased)
    source = bed.job(kept)
    bed.put(rows_key(erased, 1, "s", "named by nobody"), ingest_key(erased, "second copy"))
    keys = bed.queue.store.erase(erased)
    assert keys == [input_key(erased)]
    bed.walk()
    assert bed.stored() == [source]
