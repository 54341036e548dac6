"""What follows an erasure: workers are told, and the store is looked through again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from storage.audit import Actor, Audit
from storage.batches.rows import NewBatch
from storage.batches.store import BatchStore
from storage.database import Database
from storage.erasures import LOOKS_SECONDS, Erasures, delete_objects
from storage.errors import ObjectStoreUnavailable
from storage.ids import new_id
from storage.job import InputRef
from storage.objects.keys import ingest_key, input_key, rows_key, upload_key
from tests.fakes.memory_store import MemoryObjectStore
from tests.fakes.sql_queue import SqlQueue
from tests.integration.api_bed import Api
from workers.dispatcher.erasures import ErasuresDuty


class Bed:
    """A queue with objects, and the duty."""

    def __init__(self, database: Database) -> None:
        self.queue = SqlQueue(database)
        self.objects = MemoryObjectStore()
        self.erasures = Erasures(database)
        self.duty = ErasuresDuty(self.erasures, self.objects)

    def job(self, **fields: Any) -> str:
        job_id = new_id()
        key = fields.pop("key", input_key(job_id))
        self.objects.put(key, b"input")
        return self.queue.add_job(id=job_id, input=InputRef(key=key, size_bytes=5, etag="e"), **fields)

    def erase(self, job_id: str) -> list[str]:
        return self.queue.store.erase(job_id, by=Actor("key", "tenant"))

    def later(self, seconds: float) -> None:
        """Let time pass for every erasure."""
        self.queue.execute("UPDATE erasures SET at = at - :by, look_at = look_at - :by", by=timedelta(seconds=seconds))

    def stored(self) -> list[str]:
        return [item.key for item in self.objects.list("")]


@pytest.fixture
def bed(database: Database) -> Bed:
    return Bed(database)


def test_all_that_a_job_alone_has_goes_and_nothing_of_its_neighbours(bed: Bed) -> None:
    upload = upload_key(new_id())
    one, other = bed.job(key=upload), bed.job()
    mine = [ingest_key(one, "second copy"), rows_key(one, 1, "s", "stale"), f"results/{one}/2/thumbnail.jpg"]
    theirs = [input_key(other), rows_key(other, 1, "s", "c")]
    for key in [*mine, *theirs]:
        bed.objects.put(key, b"x")
    assert delete_objects(bed.objects, one, bed.erase(one)) == 3
    assert bed.stored() == sorted(theirs)


def test_what_a_late_worker_writes_after_an_erasure_goes_with_a_later_look(bed: Bed) -> None:
    job_id = bed.job()
    delete_objects(bed.objects, job_id, bed.erase(job_id))
    bed.duty.run_pass()
    left = []
    for seconds in (LOOKS_SECONDS[0], LOOKS_SECONDS[1] - LOOKS_SECONDS[0], LOOKS_SECONDS[2] - LOOKS_SECONDS[1]):
        bed.objects.put(rows_key(job_id, 1, "s", f"after {seconds}"), b"late")
        bed.duty.run_pass()
        left.append(len(bed.stored()))
        bed.later(seconds)
        bed.duty.run_pass()
        left.append(len(bed.stored()))
    assert left == [1, 0] * 3
    assert bed.erasures.due() == []


def test_a_look_that_an_outage_prevents_stays_due(bed: Bed) -> None:
    job_id = bed.job()
    bed.erase(job_id)
    bed.later(20)
    bed.objects.down = True
    with pytest.raises(ObjectStoreUnavailable):
        bed.duty.run_pass()
    bed.objects.down = False
    assert bed.stored() == [input_key(job_id)]
    bed.duty.run_pass()
    assert bed.stored() == []


def test_an_erasure_is_told_to_whoever_asked_before_it_and_lives_a_day(bed: Bed) -> None:
    first = bed.erasures.since(None)
    assert first.everything
    job_id = bed.job()
    bed.erase(job_id)
    told = bed.erasures.since(first.now)
    assert (told.keys, told.everything) == ([input_key(job_id)], False)
    # a transaction that wrote earlier may commit later: the last half minute is told again
    assert bed.erasures.since(told.now).keys == [input_key(job_id)]
    bed.later(40)
    assert bed.erasures.since(told.now).keys == []
    for seconds in (1000, LOOKS_SECONDS[-1], 86400):
        bed.later(seconds)
        bed.duty.run_pass()
    assert bed.queue.execute("SELECT FROM erasures") == []


def test_whoever_was_silent_for_a_day_or_missed_too_many_is_told_to_forget_everything(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = bed.erasures.since(None).now
    assert bed.erasures.since(now - timedelta(hours=25)).everything
    assert not bed.erasures.since(now - timedelta(hours=23)).everything
    monkeypatch.setattr("storage.erasures.TOLD_MAX", 2)
    for _ in range(2):
        bed.erase(bed.job())
    assert not bed.erasures.since(now).everything
    bed.erase(bed.job())
    assert bed.erasures.since(now).everything


def test_an_erasure_is_written_down_and_says_nothing_of_what_was_erased(bed: Bed) -> None:
    job_id = bed.job(metadata={"patient": "7"})
    bed.erase(job_id)
    (entry,) = Audit(bed.queue.database).page(cursor=None, limit=5).entries
    assert (entry.by, entry.tenant, entry.action, entry.target) == ("key", "tenant", "job.erase", {"job": job_id})


def test_the_item_of_an_erased_job_keeps_its_place_and_says_nothing(bed: Bed) -> None:
    batches, batch_id = BatchStore(bed.queue.database), new_id()
    batches.create(NewBatch(id=batch_id, tenant="tenant", fingerprint="one"))
    job_id = bed.job(batch_id=batch_id)
    bed.queue.execute('UPDATE batch_items SET item = \'{"url": "https://example.org/patient-7.mp4"}\'')
    bed.erase(job_id)
    (row,) = bed.queue.execute("SELECT item, state, job_id::text AS job_id FROM batch_items")
    assert (row.item, row.state, row.job_id) == ({}, "made", job_id)


def test_an_outage_of_the_store_does_not_undo_an_erasure(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = api.submitted()["id"]

    def down(*_: object, **__: object) -> None:
        raise ObjectStoreUnavailable("down")

    with monkeypatch.context() as patch:
        patch.setattr(type(api.services.objects), "delete", down)
        assert api.call("DELETE", f"/v1/jobs/{job_id}").status_code == 204
    assert api.get(f"/v1/jobs/{job_id}").status_code == 404
    objects = api.services.objects
    assert [item.key for item in objects.list("")] == [input_key(job_id)]
    with api.services.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE erasures SET look_at = clock_timestamp()")
    ErasuresDuty(Erasures(api.services.database), objects).run_pass()
    assert list(objects.list("")) == []


def test_a_result_that_had_its_time_is_gone_and_the_summary_is_still_told(api: Api) -> None:
    job_id = api.submitted()["id"]
    worker = api.worker()
    worker.run([{"index": 0, "pts": 0, "pts_seconds": 0.0}], summary={"boxes": 3})
    assert api.get(f"/v1/jobs/{job_id}/result").status_code == 200
    with api.services.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE jobs SET results_deleted_at = clock_timestamp()")
    for path in ("result", "frames"):
        answer = api.get(f"/v1/jobs/{job_id}/{path}")
        assert (answer.status_code, answer.get_json()["code"]) == (410, "result.gone")
    document = api.get(f"/v1/jobs/{job_id}").get_json()
    assert document["summary"] == {"boxes": 3}
    assert document["results_deleted_at"] is not None


def test_a_replay_without_its_input_is_refused_at_once(api: Api) -> None:
    job_id = api.submitted()["id"]
    api.post(f"/v1/jobs/{job_id}/cancel")
    with api.services.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE jobs SET input_key = NULL, input_deleted_at = clock_timestamp()")
    answer = api.post(f"/v1/jobs/{job_id}/replay")
    assert (answer.status_code, answer.get_json()["code"]) == (409, "input.gone")
    assert api.get(f"/v1/jobs/{job_id}").get_json()["input"]["deleted_at"] is not None
