"""GET /v1/jobs/<id>/history as clients and operators see it."""

from __future__ import annotations

from storage.job import Fault, Retry
from tests.integration.api_bed import Api, frame_rows


def read(api: Api, job_id: str, query: str = "") -> dict[str, object]:
    response = api.get(f"/v1/jobs/{job_id}/history{query}")
    assert response.status_code == 200, response.get_data(as_text=True)
    return dict(response.get_json())


def test_the_timeline_of_a_job_tells_what_happened_in_sentences(api: Api) -> None:
    job_id = api.submitted()["id"]
    worker = api.worker()
    claim = worker.take()
    worker.finish(claim, Retry(claim.segments[0].id, Fault("model.failed", "it broke", stack="secret"), 0.0, True))
    worker.run(frame_rows(1))
    found = read(api, job_id)
    assert (found["job_id"], found["run"], found["state"], found["next_cursor"]) == (job_id, 1, "succeeded", None)
    kinds = [event["kind"] for event in found["events"]]
    assert kinds == [
        "submitted", "claimed", "running", "retried", "queued", "claimed", "running", "planned", "done", "succeeded"
    ]  # fmt: skip
    retried = found["events"][3]
    assert retried["segment"] == 0
    assert retried["data"]["message"] == "it broke"
    assert retried["meaning"].startswith("The segment failed")
    assert "secret" not in str(found)


def test_claims_and_workers_are_shown_to_operators_alone(api: Api) -> None:
    job_id = api.submitted()["id"]
    worker = api.worker()
    worker.run(frame_rows(1))
    inside = read(api, job_id)["events"]
    assert {event["worker_id"] for event in inside} == {None, worker.id}
    outside = read(api.as_caller("acme", ["submit", "read"]), job_id)["events"]
    assert worker.id not in str(outside)
    assert {event["claim_id"] for event in outside} == {event["segment_id"] for event in outside} == {None}
    assert [event["kind"] for event in outside] == [event["kind"] for event in inside]


def test_the_timeline_is_read_page_by_page(api: Api) -> None:
    job_id = api.submitted()["id"]
    api.worker().run(frame_rows(1))
    whole = read(api, job_id)["events"]
    pages, cursor = [], None
    while True:
        page = read(api, job_id, "?limit=2" + (f"&cursor={cursor}" if cursor else ""))
        pages += page["events"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert pages == whole
    assert read(api, job_id, f"?cursor={whole[-1]['id']}")["events"] == []


def test_a_wrong_cursor_and_a_foreign_job_are_refused(api: Api) -> None:
    job_id = api.submitted()["id"]
    assert api.get(f"/v1/jobs/{job_id}/history?cursor=x").get_json()["code"] == "cursor.invalid"
    assert api.get(f"/v1/jobs/{job_id}/history?limit=0").status_code == 422
    assert api.as_caller().get(f"/v1/jobs/{job_id}/history").status_code == 404
