"""Batches over HTTP: filled and closed, looked at, waited for, and hidden from others."""

from __future__ import annotations

import json
import threading
from typing import Any

from tests.integration.api_bed import MP4, PNG, Api, frame_rows
from tests.integration.batch_bed import (
    MOTION_HEAD,
    NDJSON,
    add,
    counted,
    duty_of,
    end_jobs,
    execute,
    items_of,
    lines_of,
    look,
    sent,
    uploaded,
    url_items,
)


def test_an_open_batch_takes_items_until_it_is_closed(api: Api) -> None:
    batch = sent(api, url_items(1), {**MOTION_HEAD, "open": True})
    assert batch["state"] == "open"
    assert add(api, batch["id"], url_items(2, first=1)).get_json()["counts"]["total"] == 3
    closed = api.post(f"/v1/batches/{batch['id']}/close").get_json()
    assert (closed["state"], api.post(f"/v1/batches/{batch['id']}/close").status_code) == ("running", 200)
    late = add(api, batch["id"], url_items(1, first=9))
    assert (late.status_code, late.get_json()["code"]) == (409, "state.conflict")
    assert add(api, batch["id"], url_items(3)).status_code == 200  # nothing new in it
    assert counted(api, batch["id"]) == {"total": 3, "waiting": 3}


def test_keyed_items_may_be_added_again_and_refused_ones_corrected(api: Api) -> None:
    batch = sent(api, [], {**MOTION_HEAD, "open": True})
    wrong = {"key": "w", "url": "https://example.org/w", "params": {"width": 1}}
    for _ in range(2):
        added = add(api, batch["id"], [*url_items(2), wrong])
        assert added.status_code == 200
        assert counted(api, batch["id"]) == {"total": 3, "waiting": 2, "rejected": 1}
    duty_of(api.services.database).run_pass()
    add(api, batch["id"], [{**wrong, "params": {"width": 100}}, {**url_items(1)[0], "priority": "low"}])
    assert counted(api, batch["id"]) == {"total": 4, "uploading": 2, "waiting": 1, "rejected": 1}
    assert [item["key"] for item in items_of(api, batch["id"])] == ["k0", "k1", "w", "k0"]
    assert look(api, batch["id"])["errors"][0]["error"]["code"] == "item.duplicate"


def test_uploads_are_looked_at_and_taken_once(api: Api) -> None:
    still, clip, later = uploaded(api), uploaded(api, MP4), uploaded(api, complete=False)
    archive = uploaded(api, b"PK\x03\x04" + bytes(100))
    foreign = uploaded(api.as_caller("other"))
    ids = [still, clip, still, later, archive, foreign]
    batch = sent(api, [{"upload_id": upload_id} for upload_id in ids])
    codes = {item["index"]: item["error"]["code"] for item in batch["errors"]}
    assert codes == {3: "upload.incomplete", 4: "media.unsupported", 5: "upload.unknown"}
    duty_of(api.services.database).run_pass()
    items = items_of(api, batch["id"])
    assert [item["state"] for item in items] == ["queued", "queued", "rejected", "rejected", "rejected", "rejected"]
    assert items[2]["error"]["code"] == "upload.unknown"
    classes = execute(api.services.database, "SELECT size_class FROM segments ORDER BY size_class DESC")
    assert [row.size_class for row in classes] == ["short", "long"]
    assert api.get(f"/v1/uploads/{still}").get_json()["state"] == "taken"
    again = sent(api, [{"upload_id": still}])
    assert again["errors"][0]["error"]["code"] == "state.conflict"


def test_an_upload_that_waits_in_a_batch_does_not_expire(api: Api) -> None:
    upload_id = uploaded(api)
    before = api.get(f"/v1/uploads/{upload_id}").get_json()["expires_at"]
    sent(api, [{"upload_id": upload_id}])
    assert api.get(f"/v1/uploads/{upload_id}").get_json()["expires_at"][:10] > before[:10]


def test_a_file_may_be_submitted_into_an_open_batch(api: Api) -> None:
    batch = sent(api, [], {**MOTION_HEAD, "open": True})
    fields = {"batch_id": batch["id"], "batch_key": "a.png", "headers": {"Idempotency-Key": "a"}}
    job = api.submitted(**fields)
    assert (job["batch_id"], api.submitted(**fields)["id"]) == (batch["id"], job["id"])
    assert counted(api, batch["id"]) == {"total": 1, "queued": 1}
    assert items_of(api, batch["id"])[0]["key"] == "a.png"
    twin = api.submit(batch_id=batch["id"], batch_key="a.png")
    assert (twin.status_code, twin.get_json()["code"]) == (409, "item.duplicate")
    assert len(list(api.services.objects.list("inputs/"))) == 1  # a refused file leaves nothing
    stranger = api.as_caller("other").submit(batch_id=batch["id"])
    assert (stranger.status_code, stranger.get_json()["code"]) == (404, "batch.unknown")
    assert api.submit(batch_id="none").get_json()["code"] == "batch.unknown"
    assert api.submit(batch_key="b.png").status_code == 422
    api.post(f"/v1/batches/{batch['id']}/close")
    assert api.submit(batch_id=batch["id"], batch_key="b.png").get_json()["code"] == "state.conflict"
    assert counted(api, batch["id"]) == {"total": 1, "queued": 1}


def test_results_are_a_line_per_item_in_order(api: Api) -> None:
    batch = sent(api, [{"key": "still", "upload_id": uploaded(api, PNG)}, "broken", {"upload_id": uploaded(api)}])
    duty_of(api.services.database).run_pass()
    job_id = api.worker().run(frame_rows(2), summary={"moved": True})
    answer = api.get(f"/v1/batches/{batch['id']}/results")
    assert answer.mimetype == "application/x-ndjson"
    assert f'filename="batch-{batch["id"]}.jsonl"' in answer.headers["Content-Disposition"]
    lines = [json.loads(line) for line in answer.get_data(as_text=True).splitlines()]
    assert [(line["index"], line["state"]) for line in lines] == [(0, "succeeded"), (1, "rejected"), (2, "queued")]
    assert (lines[0]["key"], lines[0]["job_id"], lines[0]["summary"]) == ("still", job_id, {"moved": True})
    assert api.get(lines[0]["result"]).status_code == 200
    assert (lines[1]["error"]["code"], lines[1]["result"], lines[2]["result"]) == ("item.malformed", None, None)
    known = {"If-None-Match": answer.headers["ETag"]}
    assert api.get(f"/v1/batches/{batch['id']}/results", headers=known).status_code == 304
    api.worker().run(frame_rows(1))
    assert api.get(f"/v1/batches/{batch['id']}/results", headers=known).status_code == 200


def test_items_are_listed_by_the_state_of_their_jobs(api: Api) -> None:
    batch = sent(api, [*url_items(6), "broken"], {**MOTION_HEAD, "max_queue": 4})
    duty_of(api.services.database).run_pass()
    end_jobs(api.services.database, batch["id"], "failed", 1)
    end_jobs(api.services.database, batch["id"], "succeeded", 2)
    indexes = {
        state: [item["index"] for item in items_of(api, batch["id"], state=state, limit=1)]
        for state in ("failed", "succeeded", "uploading", "waiting", "rejected", "canceled")
    }
    assert sorted(indexes["failed"] + indexes["succeeded"] + indexes["uploading"]) == [0, 1, 2, 3]
    assert [len(indexes[state]) for state in ("failed", "succeeded", "uploading")] == [1, 2, 1]
    assert (indexes["waiting"], indexes["rejected"], indexes["canceled"]) == ([4, 5], [6], [])
    for query in ("state=none", "cursor=none", "limit=0", "limit=1001"):
        assert api.get(f"/v1/batches/{batch['id']}/items?{query}").status_code in {400, 422}


def test_batches_are_listed_newest_first(api: Api) -> None:
    ids = [sent(api, url_items(1))["id"] for _ in range(3)]
    page = api.get("/v1/batches?limit=2").get_json()
    assert [batch["id"] for batch in page["batches"]] == [ids[2], ids[1]]
    rest = api.get(f"/v1/batches?limit=2&cursor={page['next_cursor']}").get_json()
    assert ([batch["id"] for batch in rest["batches"]], rest["next_cursor"]) == ([ids[0]], None)
    assert api.get("/v1/batches?cursor=none").get_json()["code"] == "cursor.invalid"


def test_who_waits_is_answered_when_the_batch_has_ended(api: Api) -> None:
    batch = sent(api, url_items(2))
    duty = duty_of(api.services.database, tell=api.services.hints.tell)
    duty.run_pass()
    assert api.get(f"/v1/batches/{batch['id']}?wait=0.1").get_json()["state"] == "running"

    def work() -> None:
        end_jobs(api.services.database, batch["id"], "succeeded")
        duty.run_pass()

    timer = threading.Timer(0.3, work)
    timer.start()
    answer = api.get(f"/v1/batches/{batch['id']}?wait=30")
    timer.join()
    assert (answer.get_json()["state"], answer.get_json()["progress"]) == ("finished", 1.0)
    assert "Retry-After" not in answer.headers


def test_another_tenants_batch_is_404_on_every_route(api: Api) -> None:
    batch = sent(api, url_items(1))
    stranger = api.as_caller("other", ["submit", "read", "operate", "admin"])
    for method, path in (
        ("GET", ""), ("GET", "/items"), ("GET", "/results"), ("POST", "/items"), ("POST", "/close"),
        ("POST", "/cancel"), ("POST", "/replay-failed"),
    ):  # fmt: skip
        options: dict[str, Any] = {"data": lines_of(url_items(1), None), "headers": NDJSON} if path == "/items" else {}
        answer = stranger.call(method, f"/v1/batches/{batch['id']}{path}", **options)
        assert (answer.status_code, answer.get_json()["code"]) == (404, "batch.unknown"), (method, path)
    assert stranger.get("/v1/batches").get_json()["batches"] == []
    assert counted(api, batch["id"]) == {"total": 1, "waiting": 1}


def test_an_erased_job_leaves_its_item(api: Api) -> None:
    batch = sent(api, [{"upload_id": uploaded(api)}])
    duty_of(api.services.database).run_pass()
    job_id = items_of(api, batch["id"])[0]["job_id"]
    assert api.call("DELETE", f"/v1/jobs/{job_id}").status_code == 204
    assert items_of(api, batch["id"])[0]["state"] == "erased"
    duty_of(api.services.database).run_pass()
    assert look(api, batch["id"])["state"] == "finished"
