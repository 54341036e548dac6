"""What nobody names goes; what any row names stays, whatever state its job is in."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from storage.database import Database
from storage.errors import ObjectNotFound, ObjectStoreUnavailable, UploadNotFound
from storage.ids import new_id
from storage.job import Fault, InputRef, JobState
from storage.objects.keys import OWNED_PREFIXES, ingest_key, input_key, rows_key, upload_key
from storage.objects.local import LocalObjectStore
from storage.uploads import Upload, UploadStore
from tests.fakes.memory_store import MemoryObjectStore
from tests.fakes.sql_queue import SqlQueue
from workers.dispatcher.deletion import Deletion, made_at


def id_made(hours_ago: float) -> str:
    """An id of a row that was made so long ago."""
    millis = int((time.time() - hours_ago * 3600) * 1000)
    fresh = UUID(new_id()).int
    return str(UUID(int=(millis << 80) | (fresh & ((1 << 80) - 1))))


class Clock:
    """Monotonic seconds in the test's hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bed:
    """A queue, uploads, a store and the duty."""

    def __init__(self, database: Database) -> None:
        self.queue = SqlQueue(database)
        self.uploads = UploadStore(database)
        self.objects = MemoryObjectStore()
        self.clock = Clock()
        self.deletion = Deletion(self.uploads, self.queue.upkeep, self.objects, clock=self.clock)

    def put(self, *keys: str) -> None:
        for key in keys:
            self.objects.put(key, key.encode())

    def stored(self) -> list[str]:
        return [item.key for item in self.objects.list("")]

    def job(self, job_id: str, *, key: str | None = None, **fields: object) -> str:
        """A job with its input in the store."""
        key = key or input_key(job_id)
        self.put(key)
        self.queue.add_job(id=job_id, input=InputRef(key=key, size_bytes=1, etag="e"), **fields)
        return key

    def end(self, job_id: str, state: JobState, *, hours_ago: float = 40) -> None:
        """Let a job have ended so long ago."""
        if state is JobState.CANCELED:
            self.queue.store.cancel(job_id)
        else:
            self.queue.store.fail(job_id, Fault("input.gone", "test"), from_states=[JobState.QUEUED])
        self.queue.execute(
            "UPDATE jobs SET state = :state, finished_at = clock_timestamp() - :by WHERE id = :id",
            id=job_id, state=state.value, by=timedelta(hours=hours_ago),
        )  # fmt: skip

    def upload(self, *, expired: bool, state: str = "open", body: bool = False) -> Upload:
        """A row of a presigned upload, with one part sent or the whole object there."""
        upload_id = id_made(50)
        key = upload_key(upload_id)
        multipart_id = self.objects.start_multipart(key)
        if body:
            self.objects.abort_multipart(key, multipart_id)
            self.put(key)
        now = datetime.now(UTC)
        return self.uploads.create(
            Upload(
                id=upload_id, tenant="tenant", state=state, key=key, multipart_id=multipart_id, size_bytes=1,
                part_size_bytes=1, filename=None, content_type=None, etag="e", created_at=now,
                expires_at=now + timedelta(hours=-1 if expired else 1),
            )
        )  # fmt: skip

    def walk(self) -> None:
        """One whole walk over the store."""
        self.clock.now += 2 * 3600
        for _ in OWNED_PREFIXES:
            self.deletion.run_pass()


@pytest.fixture
def bed(database: Database) -> Bed:
    return Bed(database)


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


def test_an_expired_upload_goes_at_once_with_its_parts(bed: Bed) -> None:
    begun, whole = bed.upload(expired=True), bed.upload(expired=True, state="complete", body=True)
    assert bed.stored() == [whole.key]
    bed.deletion.run_pass()
    assert bed.stored() == []
    with pytest.raises(ObjectNotFound):
        bed.objects.list_parts(begun.key, begun.multipart_id)


def test_an_upload_that_may_still_be_used_or_was_taken_by_a_job_stays(bed: Bed) -> None:
    open_upload = bed.upload(expired=False)
    complete = bed.upload(expired=False, state="complete", body=True)
    taken = bed.upload(expired=True, state="complete", body=True)
    # the job takes it in the last moment
    bed.job(new_id(), key=taken.key, upload_id=taken.id)
    bed.walk()
    bed.walk()
    assert bed.stored() == sorted([complete.key, taken.key])
    assert bed.objects.list_parts(open_upload.key, open_upload.multipart_id) == []


def test_the_object_of_an_upload_goes_with_the_job_that_took_it(bed: Bed) -> None:
    upload = bed.upload(expired=False, state="complete", body=True)
    job_id = new_id()
    bed.job(job_id, key=upload.key, upload_id=upload.id)
    bed.queue.store.erase(job_id)
    with pytest.raises(UploadNotFound):
        bed.uploads.get(upload.id, "tenant")
    bed.walk()
    assert bed.stored() == []


def test_an_upload_whose_deletion_failed_is_found_by_the_walk(bed: Bed) -> None:
    upload = bed.upload(expired=True, state="complete", body=True)
    bed.objects.down = True
    with pytest.raises(ObjectStoreUnavailable):
        bed.deletion.run_pass()
    bed.objects.down = False
    assert bed.stored() == [upload.key]
    bed.walk()
    assert bed.stored() == []


@pytest.fixture
def small_passes(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("workers.dispatcher.deletion.OBJECTS_PER_PASS", 10)
    return 10


def test_a_pass_is_bounded_and_the_walk_comes_round(bed: Bed, small_passes: int) -> None:
    kept = [bed.job(id_made(100 + number)) for number in range(15)]
    bed.put(*(input_key(id_made(100 + number)) for number in range(20)))
    bed.put(*(rows_key(id_made(100), 1, str(number), "c") for number in range(12)))
    left = [len(bed.stored())]
    while left[-1] > len(kept) and len(left) < 20:
        bed.deletion.run_pass()
        left.append(len(bed.stored()))
        assert left[-2] - left[-1] <= small_passes
    assert bed.stored() == sorted(kept)
    assert len(left) > 4


def test_after_a_walk_the_duty_rests_and_then_begins_again(bed: Bed) -> None:
    bed.walk()
    late = input_key(id_made(100))
    bed.put(late)
    for _ in range(5):
        bed.deletion.run_pass()
    assert bed.stored() == [late]
    bed.walk()
    assert bed.stored() == []


def test_a_walk_goes_on_where_an_outage_stopped_it(bed: Bed, small_passes: int) -> None:
    bed.put(*(input_key(id_made(100 + number)) for number in range(25)))
    bed.deletion.run_pass()
    bed.objects.down = True
    with pytest.raises(ObjectStoreUnavailable):
        bed.deletion.run_pass()
    bed.objects.down = False
    assert len(bed.stored()) == 15
    bed.deletion.run_pass()
    assert len(bed.stored()) == 5


def test_two_dispatchers_may_walk_at_once(bed: Bed) -> None:
    source = bed.job(id_made(100))
    bed.put(*(input_key(id_made(100 + number)) for number in range(20)))
    other = Deletion(bed.uploads, bed.queue.upkeep, bed.objects, clock=bed.clock)
    for _ in OWNED_PREFIXES:
        bed.deletion.run_pass()
        other.run_pass()
    assert bed.stored() == [source]


@pytest.fixture
def root(local_store: LocalObjectStore, tmp_path: Path) -> Path:
    return tmp_path / "objects"


def test_writes_that_never_became_objects_are_thrown_away_at_the_end_of_a_walk(
    bed: Bed, local_store: LocalObjectStore, root: Path
) -> None:
    old, young = (local_store.start_multipart(upload_key(new_id())) for _ in range(2))
    (root / "temporary" / "half").write_bytes(b"half")
    long_ago = time.time() - 49 * 3600
    for path in (root / "multipart" / old, root / "temporary" / "half"):
        os.utime(path, (long_ago, long_ago))
    deletion = Deletion(bed.uploads, bed.queue.upkeep, local_store, clock=bed.clock)
    for _ in OWNED_PREFIXES:
        deletion.run_pass()
    assert [path.name for path in (root / "multipart").iterdir()] == [young]
    assert list((root / "temporary").iterdir()) == []
