"""What the dispatcher does for batches: in chunks, once, whoever dies or comes twice meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from storage.batches.making import BatchMaker
from storage.database import Database
from storage.ids import new_id
from tests.fakes.quiet_bell import QuietBell
from tests.fakes.sql_queue import new_job
from tests.integration.api_bed import Api
from tests.integration.batch_bed import (
    MOTION_HEAD,
    add,
    counted,
    duty_of,
    end_jobs,
    execute,
    items_of,
    look,
    sent,
    uploaded,
    url_items,
)
from tests.integration.processes import running
from tests.integration.queue_bed import wait_until
from tests.integration.racing import together


def jobs_of(database: Database, batch_id: str) -> int:
    """How many jobs there are of a batch."""
    (row,) = execute(database, "SELECT count(*) FROM jobs WHERE batch_id = :id", id=batch_id)
    return int(row[0])


def test_items_become_jobs_in_chunks_each_with_segment_event_and_ring(api: Api) -> None:
    batch = sent(api, [{"upload_id": uploaded(api), "key": f"k{place}"} for place in range(5)])
    database, bell = api.services.database, QuietBell()
    assert BatchMaker(database, chunk=3).make(batch["id"]).jobs == 3
    assert counted(api, batch["id"]) == {"total": 5, "waiting": 2, "queued": 3}
    duty_of(database, chunk=3, bell=bell).run_pass()
    assert counted(api, batch["id"]) == {"total": 5, "queued": 5}
    assert bell.rung == [("cpu", "short", 2)]
    segments = execute(database, "SELECT job_id, kind, state, tag FROM segments ORDER BY tag, id")
    assert [(row.kind, row.state) for row in segments] == [("plan", "ready")] * 5
    assert len({row.tag for row in segments}) == 5  # one behind the other, in the order of the items
    assert [str(row.job_id) for row in segments] == [item["job_id"] for item in items_of(api, batch["id"])]
    events = execute(database, "SELECT kind, count(*) FROM job_events GROUP BY kind")
    assert [(row.kind, row[1]) for row in events] == [("submitted", 5)]


def test_a_job_of_a_batch_is_the_job_a_submission_makes(api: Api) -> None:
    fields = {"pipeline": "motion", "priority": "high", "metadata": {"a": 1}, "allow_partial": True,
              "expires_in_seconds": 600}  # fmt: skip
    order = {**fields, "params": {"width": 100}}
    single = api.post("/v1/jobs", json={**order, "input": {"upload_id": uploaded(api)}}).get_json()
    batch = sent(api, [{**order, "upload_id": uploaded(api)}])
    duty_of(api.services.database).run_pass()
    item = api.get(f"/v1/jobs/{items_of(api, batch['id'])[0]['job_id']}").get_json()
    own = {"id", "urls", "times", "batch_id", "eta_seconds", "queue_position", "input", "waiting_for"}
    assert {name: item[name] for name in set(item) - own} == {name: single[name] for name in set(single) - own}
    assert {**item["input"], "sha256": None} == {**single["input"], "sha256": None}
    columns = "pipeline, batch_key, lane, size_class, cost_seconds, max_attempts, spec_version, state"
    rows = execute(api.services.database, f"SELECT {columns} FROM jobs ORDER BY id")
    assert rows[0] == rows[1]
    spans = [
        datetime.fromisoformat(job["times"]["expires_at"]) - datetime.fromisoformat(job["times"]["created_at"])
        for job in (single, item)
    ]
    assert [round(span.total_seconds()) for span in spans] == [600, 600]


def test_an_item_that_is_put_off_waits_for_its_time(api: Api) -> None:
    now = datetime.now(UTC)
    times = [(now + timedelta(hours=1)).isoformat(), (now - timedelta(hours=1)).isoformat()]
    batch = sent(api, [{"upload_id": uploaded(api), "run_after": time} for time in times])
    duty_of(api.services.database).run_pass()
    assert counted(api, batch["id"]) == {"total": 2, "queued": 2}
    rows = execute(api.services.database, "SELECT state, run_after FROM segments ORDER BY state DESC")
    assert [(row.state, row.run_after and row.run_after.isoformat()) for row in rows] == [
        ("waiting", times[0]), ("ready", None)
    ]  # fmt: skip


def test_a_batch_is_one_flow_and_another_tenants_job_goes_before_its_rest(api: Api) -> None:
    sent(api, [{"upload_id": uploaded(api)} for _ in range(20)])
    database = api.services.database
    duty_of(database).run_pass()
    job = api.services.jobs.create(new_job(tenant="other")).job
    ahead = execute(
        database,
        "SELECT count(*) FROM segments WHERE tag < (SELECT tag FROM segments WHERE job_id = CAST(:id AS uuid))",
        id=job.id,
    )
    assert ahead[0][0] == 0


def test_no_more_jobs_than_max_queue_are_unfinished(api: Api) -> None:
    batch = sent(api, url_items(10), {**MOTION_HEAD, "max_queue": 4})
    database = api.services.database
    duty = duty_of(database, chunk=3)
    duty.run_pass()
    assert counted(api, batch["id"]) == {"total": 10, "waiting": 6, "uploading": 4}
    end_jobs(database, batch["id"], "succeeded", 3)
    duty.run_pass()
    assert counted(api, batch["id"]) == {"total": 10, "waiting": 3, "uploading": 4, "succeeded": 3}
    for _ in range(3):
        end_jobs(database, batch["id"], "succeeded")
        duty.run_pass()
    assert counted(api, batch["id"]) == {"total": 10, "succeeded": 10}
    assert look(api, batch["id"])["state"] == "finished"


def test_two_dispatchers_at_once_make_each_job_once_and_keep_to_max_queue(api: Api) -> None:
    database = api.services.database
    batch = sent(api, url_items(400), {**MOTION_HEAD, "max_queue": 300})
    duties = [duty_of(database, chunk=20) for _ in range(3)]
    together(*[duty.run_pass for duty in duties])
    assert counted(api, batch["id"]) == {"total": 400, "waiting": 100, "uploading": 300}
    end_jobs(database, batch["id"], "succeeded")
    together(*[duty.run_pass for duty in duties])
    items = items_of(api, batch["id"])
    assert len({item["job_id"] for item in items}) == 400 == jobs_of(database, batch["id"])


def test_a_dispatcher_killed_between_chunks_makes_no_job_twice_and_loses_none(
    api: Api, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    count = 12_000
    database = api.services.database
    batch = sent(api, url_items(count))
    settings = {"database_url": database_url, "redis_url": redis_url, "alive_file": tmp_path / "alive"}
    for at_least in (1, 5000):
        with running("workers.dispatcher", tmp_path, **settings) as dispatcher:
            dispatcher.wait_for_event("dispatcher.started")
            wait_until(lambda: jobs_of(database, batch["id"]), lambda made, least=at_least: made >= least, seconds=60)
            dispatcher.kill()
        assert counted(api, batch["id"])["total"] == count
    # PostgreSQL may still be ending what the killed one held: a pass leaves that to the next
    duty = duty_of(database)
    wait_until(lambda: duty.run_pass() or jobs_of(database, batch["id"]), lambda made: made >= count, seconds=60)
    items = items_of(api, batch["id"], limit=1000)
    assert len({item["job_id"] for item in items}) == count == jobs_of(database, batch["id"])
    assert execute(database, "SELECT count(*) FROM job_events WHERE kind = 'submitted'")[0][0] == count


def test_items_that_come_while_others_are_made_are_made_too(api: Api) -> None:
    database = api.services.database
    batch = sent(api, url_items(1), {**MOTION_HEAD, "open": True})
    duty = duty_of(database, chunk=7)

    def fill() -> None:
        for place in range(10):
            assert add(api, batch["id"], url_items(30, first=1 + 30 * place)).status_code == 200

    def make() -> None:
        wait_until(lambda: duty.run_pass() or jobs_of(database, batch["id"]), lambda made: made >= 301, seconds=60)

    together(fill, make)
    assert [item["index"] for item in items_of(api, batch["id"])] == list(range(301))
    assert look(api, batch["id"])["state"] == "open"  # an open batch is never finished
    api.post(f"/v1/batches/{batch['id']}/close")
    end_jobs(database, batch["id"], "succeeded")
    duty.run_pass()
    assert look(api, batch["id"])["state"] == "finished"


def test_an_upload_that_two_batches_name_is_taken_once(api: Api) -> None:
    ids = [uploaded(api) for _ in range(12)]
    batches = [sent(api, [{"upload_id": upload_id} for upload_id in order]) for order in (ids, ids[::-1])]
    database = api.services.database
    together(*[lambda made=batch: BatchMaker(database, chunk=4).make(made["id"]) for batch in batches])
    duty_of(database, chunk=5).run_pass()
    taken = [item for batch in batches for item in items_of(api, batch["id"]) if item["state"] == "queued"]
    assert len(taken) == 12
    named = execute(database, "SELECT upload_id, count(*) FROM jobs GROUP BY upload_id")
    assert sorted((str(row.upload_id), row[1]) for row in named) == sorted((one, 1) for one in ids)


def test_a_canceled_batch_makes_nothing_more_and_tells_the_truth_until_its_jobs_have_ended(
    api: Api,
) -> None:
    batch = sent(api, url_items(9), {**MOTION_HEAD, "max_queue": 5})
    database = api.services.database
    maker = BatchMaker(database, canceled_at_once=2)
    maker.make(batch["id"])
    end_jobs(database, batch["id"], "succeeded", 1)
    answer = api.post(f"/v1/batches/{batch['id']}/cancel").get_json()
    assert (answer["state"], answer["terminal"]) == ("canceled", True)
    assert counted(api, batch["id"]) == {"total": 9, "succeeded": 1, "uploading": 4, "canceled": 4}
    assert len(maker.cancel_jobs(batch["id"])) == 2
    assert counted(api, batch["id"]) == {"total": 9, "succeeded": 1, "uploading": 2, "canceled": 6}
    left = {str(row.id) for row in execute(database, "SELECT id FROM jobs WHERE state = 'uploading'")}
    clients: list[str] = []
    workers: list[str] = []
    duty_of(database, tell=clients.append, tell_canceled=workers.append).run_pass()
    assert (set(clients), set(workers), len(workers)) == (left, left, 2), (
        "who waits for them and who runs them hears it"
    )
    assert counted(api, batch["id"]) == {"total": 9, "succeeded": 1, "canceled": 8}
    assert maker.work() == []
    assert [item["state"] for item in items_of(api, batch["id"])] == ["succeeded", *["canceled"] * 8]
    assert len(items_of(api, batch["id"], state="canceled")) == 8
    assert add(api, batch["id"], url_items(1, first=50)).get_json()["code"] == "state.conflict"
    assert api.post(f"/v1/batches/{batch['id']}/replay-failed").get_json()["code"] == "state.conflict"
    assert api.post(f"/v1/batches/{batch['id']}/cancel").status_code == 200


def test_cancel_and_making_at_once_leave_no_job_behind(api: Api) -> None:
    database = api.services.database
    for _ in range(5):
        batch = sent(api, url_items(60))
        together(
            duty_of(database, chunk=10).run_pass,
            duty_of(database, chunk=10).run_pass,
            lambda made=batch: api.post(f"/v1/batches/{made['id']}/cancel"),
        )
        duty_of(database).run_pass()
        assert counted(api, batch["id"]) == {"total": 60, "canceled": 60}


def test_a_finished_batch_stays_canceled_or_finished(api: Api) -> None:
    batch = sent(api, ["broken"])
    duty_of(api.services.database).run_pass()
    assert look(api, batch["id"])["state"] == "finished"
    assert api.post(f"/v1/batches/{batch['id']}/cancel").get_json()["state"] == "finished"


def test_a_batch_that_is_not_there_needs_nothing(database: Database) -> None:
    maker = BatchMaker(database)
    assert (maker.work(), maker.make(new_id()).jobs, set(maker.cancel_jobs(new_id())), maker.finish(new_id())) == (
        [], 0, set(), False
    )  # fmt: skip
