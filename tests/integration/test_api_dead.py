"""Dead letters and the audit over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from storage.dead.replay_steps import ReplaySteps
from storage.job import Bury, Fault, SegmentPlan
from storage.model_rows import NewVersion
from tests.integration.api_bed import MP4, Api
from workers.dispatcher.replays import Replays

BROKEN = Fault("model.failed", "out of tune", stage="infer", worker="anna", stack='File "m.py", line 3, in run')
MEDIA = {"duration_seconds": 30.0, "extra": {"time_base": "1/10", "start_seconds": 0.0}}


def died(api: Api, fault: Fault = BROKEN, **fields: Any) -> str:
    """A job that was submitted and has died in the second of its three segments."""
    job_id = str(api.submitted(MP4, **fields)["id"])
    worker = api.worker()
    fault = replace(fault, worker=worker.id)
    claim = worker.take()
    plans = [SegmentPlan(start_pts=place * 100, end_pts=place * 100 + 100, frames=20) for place in range(3)]
    worker.claims.plan(claim, claim.segments[0].id, plans, media=MEDIA)
    claim = worker.take()
    worker.finish(claim, Bury(claim.segments[0].id, fault))
    return job_id


def carried_out(api: Api, order: dict[str, Any]) -> dict[str, Any]:
    """Let the dispatcher's duty run until the order is over."""
    duty = Replays(ReplaySteps(api.services.database), api.services.doorbell)
    for _ in range(200):
        duty.run_pass()
        found = api.get(f"/v1/dead/replays/{order['id']}").get_json()
        if found["state"] != "running":
            return dict(found)
    raise AssertionError(f"still running: {found}")


def code(response: Any) -> str:
    return str(response.get_json()["code"])


def test_an_operators_morning(api: Api) -> None:
    job_id = died(api)
    (group,) = api.get("/v1/dead").get_json()["groups"]
    assert (group["code"], group["message"], group["jobs"], group["tenants"]) == (
        "model.failed", "out of tune", 1, ["acme"],
    )  # fmt: skip
    page = api.get(f"/v1/dead/jobs?fingerprint={group['fingerprint']}").get_json()
    (letter,) = page["jobs"]
    assert (letter["id"], letter["replayable"], letter["why_not"], page["next_cursor"]) == (job_id, True, None, None)
    assert letter["segment"] == {
        "index": 0, "kind": "infer", "start_seconds": 0.0, "end_seconds": 10.0, "frames": 20, "attempts": 0,
    }  # fmt: skip
    error = letter["errors"][-1]
    assert list(error) == ["code", "message", "stage", "worker", "host", "stack"]
    assert (error["stack"], error["host"]) == (BROKEN.stack, "test")
    assert letter["input"] == {
        "state": "stored", "filename": "a.png", "size_bytes": len(MP4), "deleted_at": None,
    }  # fmt: skip
    answer = api.post("/v1/dead/replay", json={"filter": {"fingerprint": group["fingerprint"]}, "per_second": 1000})
    assert answer.status_code == 202
    done = carried_out(api, answer.get_json())
    assert (done["state"], done["replayed"], done["refusals"]) == ("finished", 1, [])
    job = api.get(f"/v1/jobs/{job_id}").get_json()
    assert (job["state"], job["run"], job["same_error_runs"]) == ("queued", 2, 1)
    assert api.get("/v1/dead").get_json() == {"groups": [], "groups_total": 0, "total": 0}


def test_a_tenant_sees_and_changes_its_own_letters_alone_and_no_insides(api: Api) -> None:
    own = died(api)
    other = api.as_caller("other", ["submit", "read"])
    foreign = died(other)
    assert api.get("/v1/dead").get_json()["total"] == 2
    assert api.get("/v1/dead?tenant=other").get_json()["total"] == 1
    (letter,) = other.get("/v1/dead/jobs").get_json()["jobs"]
    assert (letter["id"], letter["tenant"]) == (foreign, None)
    assert letter["errors"] == [{"code": "model.failed", "message": "out of tune", "stage": "infer"}]
    assert other.get("/v1/dead").get_json()["groups"][0]["tenants"] is None
    assert code(other.get("/v1/dead?tenant=acme")) == "scope.missing"
    assert other.post("/v1/dead/discard", json={"filter": {"job_ids": [own]}}).get_json() == {"discarded": 0}
    assert code(other.post("/v1/dead/discard", json={"filter": {"all": True, "tenant": "acme"}})) == "scope.missing"
    assert other.post("/v1/dead/discard", json={"filter": {"all": True}}).get_json() == {"discarded": 1}
    assert [one["id"] for one in api.get("/v1/dead/jobs").get_json()["jobs"]] == [own]


def test_orders_are_seen_by_who_gave_them_and_by_operators(api: Api) -> None:
    other = api.as_caller("other", ["submit", "read"])
    theirs = other.post("/v1/dead/replay", json={"filter": {"all": True}}).get_json()
    ours = api.post("/v1/dead/replay", json={"filter": {"code": "model.failed"}, "per_second": 0.5}).get_json()
    assert (ours["filter"], ours["per_second"], theirs["filter"]) == (
        {"code": "model.failed"}, 0.5, {"all": True, "tenant": "other"},
    )  # fmt: skip
    assert [one["id"] for one in api.get("/v1/dead/replays").get_json()["replays"]] == [ours["id"], theirs["id"]]
    assert [one["id"] for one in other.get("/v1/dead/replays").get_json()["replays"]] == [theirs["id"]]
    for path in (f"/v1/dead/replays/{ours['id']}", "/v1/dead/replays/nothing"):
        assert code(other.get(path)) == "replay.unknown"
    assert code(other.post(f"/v1/dead/replays/{ours['id']}/cancel")) == "replay.unknown"
    assert api.post(f"/v1/dead/replays/{ours['id']}/cancel").get_json()["state"] == "canceled"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"filter": {}},
        {"filter": {"all": False}},
        {"filter": {"all": True, "code": "model.failed"}},
        {"filter": {"job_ids": ["x"]}},
        {"filter": {"job_ids": []}},
        {"filter": {"colour": "red"}},
        {"filter": {"since": "yesterday"}},
        {"filter": {"all": True}, "per_second": 0},
        {"filter": {"all": True}, "params": [1]},
    ],
)
def test_a_careless_order_is_refused(api: Api, body: dict[str, Any]) -> None:
    answer = api.post("/v1/dead/replay", json=body)
    assert (answer.status_code, code(answer)) == (422, "request.invalid")
    assert api.get("/v1/dead/replays").get_json()["replays"] == []


def test_params_that_fit_no_job_are_refused_at_once(api: Api) -> None:
    died(api)
    for where in ({"all": True}, {"pipeline": "motion"}):
        answer = api.post("/v1/dead/replay", json={"filter": where, "params": {"width": 1}})
        assert (answer.status_code, code(answer)) == (422, "params.invalid")
    unknown = api.post("/v1/dead/replay", json={"filter": {"pipeline": "dance"}, "params": {}})
    assert code(unknown) == "pipeline.unknown"


def test_new_params_are_completed_for_each_pipeline(api: Api) -> None:
    job_id = died(api)
    order = api.post("/v1/dead/replay", json={"filter": {"all": True}, "params": {"width": 64}, "per_second": 1000})
    assert order.get_json()["params"] == {"width": 64}
    assert carried_out(api, order.get_json())["replayed"] == 1
    assert api.get(f"/v1/jobs/{job_id}").get_json()["params"] == {
        "width": 64, "sampler": {"policy": "stride", "stride": 5},
    }  # fmt: skip


def test_a_looping_job_says_so_and_its_owner_may_replay_it_all_the_same(api: Api) -> None:
    job_id = died(api)
    for _ in range(2):
        assert api.post(f"/v1/jobs/{job_id}/replay").status_code == 202
        worker = api.worker()
        claim = worker.take()
        worker.finish(claim, Bury(claim.segments[0].id, BROKEN))
    (letter,) = api.get("/v1/dead/jobs").get_json()["jobs"]
    assert (letter["same_error_runs"], letter["replayable"], letter["why_not"]) == (3, False, "replay.looping")
    again = api.post(f"/v1/jobs/{job_id}/replay")
    assert (again.status_code, again.get_json()["same_error_runs"]) == (202, 3)


def test_everything_an_operator_does_is_written_down(api: Api) -> None:
    job_id = died(api)
    worker = api.worker()
    for version in ("1", "2"):
        api.services.models.register(NewVersion("face", version, version, "detect", {}))
    api.post("/v1/pause", json={"kind": "lane", "name": "cpu"})
    api.post("/v1/pause", json={"kind": "lane", "name": "cpu"})
    api.post("/v1/resume", json={"kind": "lane", "name": "cpu"})
    api.post(f"/v1/workers/{worker.id}/drain")
    api.post("/v1/models/face/activate", json={"version": "1"})
    order = api.post("/v1/dead/replay", json={"filter": {"job_ids": [job_id]}}).get_json()
    api.post(f"/v1/dead/replays/{order['id']}/cancel")
    api.post("/v1/dead/discard", json={"filter": {"job_ids": [job_id]}})
    api.call("DELETE", f"/v1/jobs/{job_id}")
    entries: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = api.get("/v1/audit", query_string={"limit": 3} | ({"cursor": cursor} if cursor else {})).get_json()
        entries += page["entries"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    done = [(one["action"], one["target"]) for one in reversed(entries) if one["by_name"] == "test"]
    assert done == [
        ("pause", {"kind": "lane", "name": "cpu"}),
        ("resume", {"kind": "lane", "name": "cpu"}),
        ("worker.drain", {"worker": worker.id}),
        ("model.activate", {"name": "face", "version": "1"}),
        ("dead.replay", {
            "order": order["id"], "filter": {"job_ids": [job_id]}, "force": False, "per_second": 5.0, "params": None,
        }),
        ("dead.replay.cancel", {"order": order["id"]}),
        ("dead.discard", {"filter": {"job_ids": [job_id]}, "discarded": 1}),
        ("job.erase", {"job": job_id}),
    ]  # fmt: skip
    assert {one["tenant"] for one in entries if one["by_name"] == "test"} == {"acme"}
    assert {one["action"] for one in entries if one["by"] == "shell"} == {"key.issue"}
    assert api.as_caller("other", ["submit", "read"]).get("/v1/audit").status_code == 403
    assert code(api.get("/v1/audit?cursor=x")) == "cursor.invalid"
