"""What failed of a batch is replayed by one order, in chunks, each job once."""

from __future__ import annotations

from typing import Any

from storage.batches.replaying import BatchReplayer
from tests.fakes.quiet_bell import QuietBell
from tests.integration.api_bed import Api
from tests.integration.batch_bed import (
    MOTION_HEAD,
    counted,
    duty_of,
    end_jobs,
    execute,
    items_of,
    look,
    sent,
    uploaded,
)


def failed_batch(api: Api, count: int = 6, **head: Any) -> str:
    """A finished batch: half its jobs failed, half are dead."""
    batch = sent(api, [{"upload_id": uploaded(api)} for _ in range(count)], {**MOTION_HEAD, **head})
    database = api.services.database
    duty_of(database).run_pass()
    end_jobs(database, batch["id"], "failed", count // 2)
    end_jobs(database, batch["id"], "dead")
    duty_of(database).run_pass()
    assert look(api, batch["id"])["state"] == "finished"
    return str(batch["id"])


def test_what_failed_is_replayed_bit_by_bit_and_the_batch_finishes_again(api: Api) -> None:
    batch_id = failed_batch(api)
    database, bell = api.services.database, QuietBell()
    ordered = api.post(f"/v1/batches/{batch_id}/replay-failed", json={})
    assert (ordered.status_code, ordered.get_json()["state"]) == (202, "running")
    assert ordered.get_json()["replay"] == {"state": "running", "replayed": 0, "refused": 0, "refusals": []}
    assert api.post(f"/v1/batches/{batch_id}/replay-failed").get_json()["code"] == "state.conflict"
    duty_of(database, chunk=2, bell=bell).run_pass()
    assert counted(api, batch_id) == {"total": 6, "queued": 6}
    assert look(api, batch_id)["replay"] == {"state": "finished", "replayed": 6, "refused": 0, "refusals": []}
    assert {item["run"] for item in items_of(api, batch_id)} == {2}
    assert sum(count for _, _, count in bell.rung) == 6
    end_jobs(database, batch_id, "succeeded")
    duty_of(database).run_pass()
    assert look(api, batch_id)["state"] == "finished"
    noted = execute(database, "SELECT action, tenant, target FROM audit WHERE action LIKE 'batch.%'")
    assert noted == [("batch.replay", "acme", {"batch": batch_id, "states": ["failed", "dead"]})]


def test_only_the_states_asked_for_are_replayed_each_job_once(api: Api) -> None:
    batch_id = failed_batch(api)
    database = api.services.database
    api.post(f"/v1/batches/{batch_id}/replay-failed", json={"states": ["dead"]})
    duty_of(database).run_pass()
    assert counted(api, batch_id) == {"total": 6, "failed": 3, "queued": 3}
    end_jobs(database, batch_id, "dead")  # fails again at once: it is not of that order any more
    duty_of(database).run_pass()
    assert counted(api, batch_id) == {"total": 6, "failed": 3, "dead": 3}
    assert look(api, batch_id)["replay"]["replayed"] == 3


def test_replays_keep_to_max_queue(api: Api) -> None:
    batch_id = failed_batch(api, max_queue=6)
    execute(api.services.database, "UPDATE batches SET max_queue = 2")
    api.post(f"/v1/batches/{batch_id}/replay-failed")
    duty = duty_of(api.services.database, chunk=4)
    duty.run_pass()
    assert counted(api, batch_id)["queued"] == 2
    for _ in range(4):
        end_jobs(api.services.database, batch_id, "succeeded")
        duty.run_pass()
    assert counted(api, batch_id) == {"total": 6, "succeeded": 6}


def test_changed_params_are_checked_for_each_pipeline_and_what_cannot_run_is_named(api: Api) -> None:
    ids = [uploaded(api) for _ in range(2)]
    steps = uploaded(api, b"t,x,y,z\n0,1,2,3\n1,2,3,4\n")
    items = [{"key": f"k{place}", "upload_id": upload_id} for place, upload_id in enumerate(ids)]
    batch = sent(api, [*items, {"key": "walk", "upload_id": steps, "pipeline": "steps"}])
    assert batch["counts"]["rejected"] == 0
    database = api.services.database
    duty_of(database).run_pass()
    end_jobs(database, batch["id"], "failed")
    execute(
        database,
        "UPDATE jobs SET input_key = NULL, input_source_url = NULL WHERE id = CAST(:id AS uuid)",
        id=items_of(api, batch["id"])[1]["job_id"],
    )
    path = f"/v1/batches/{batch['id']}/replay-failed"
    assert api.post(path, json={"params": {"colour": 1}}).get_json()["code"] == "params.invalid"
    assert api.post(path, json={"params": {"width": 100}}).status_code == 202
    duty_of(database).run_pass()
    replay = look(api, batch["id"])["replay"]
    assert (replay["state"], replay["replayed"], replay["refused"]) == ("finished", 1, 2)
    assert {(one["key"], one["code"]) for one in replay["refusals"]} == {
        ("k1", "input.gone"), ("walk", "params.invalid")
    }  # fmt: skip
    job = api.get(f"/v1/jobs/{items_of(api, batch['id'])[0]['job_id']}").get_json()
    assert (job["state"], job["run"], job["params"]["width"]) == ("queued", 2, 100)


def test_a_single_replay_leaves_the_batch_finished_and_its_counts_true(api: Api) -> None:
    batch_id = failed_batch(api)
    job_id = items_of(api, batch_id)[0]["job_id"]
    assert api.post(f"/v1/jobs/{job_id}/replay").status_code == 202
    duty_of(api.services.database).run_pass()
    assert look(api, batch_id)["state"] == "finished"
    assert counted(api, batch_id) == {"total": 6, "queued": 1, "failed": 2, "dead": 3}


def test_cancel_ends_an_order_to_replay(api: Api) -> None:
    batch_id = failed_batch(api)
    api.post(f"/v1/batches/{batch_id}/replay-failed")
    assert BatchReplayer(api.services.database, chunk=2).step(batch_id).jobs == 2
    api.post(f"/v1/batches/{batch_id}/cancel")
    duty_of(api.services.database).run_pass()
    assert look(api, batch_id)["replay"]["state"] == "canceled"
    assert counted(api, batch_id) == {"total": 6, "canceled": 2, "failed": 1, "dead": 3}
