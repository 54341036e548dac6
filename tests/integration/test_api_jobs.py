"""Looking at, listing, cancelling, replaying and erasing jobs over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from storage.job import JobState
from tests.integration.api_bed import Api
from tests.integration.api_looks import code, objects


def test_an_unchanged_job_is_304_and_a_changed_one_is_not(api: Api) -> None:
    job = api.submitted()
    etag = {"If-None-Match": api.get(f"/v1/jobs/{job['id']}").headers["ETag"]}
    assert api.get(f"/v1/jobs/{job['id']}", headers=etag).status_code == 304
    api.worker().run()
    assert api.get(f"/v1/jobs/{job['id']}", headers=etag).get_json()["state"] == "succeeded"


def test_a_job_that_ended_has_its_summary_and_no_retry_after(api: Api) -> None:
    job = api.submitted()
    api.worker().run(summary={"moving": 3})
    response = api.get(f"/v1/jobs/{job['id']}?wait=5")
    assert response.get_json()["summary"] == {"moving": 3}
    assert response.get_json()["progress"] == 1
    assert "Retry-After" not in response.headers


def test_the_queue_position_counts_the_jobs_before(api: Api) -> None:
    first, second = api.submitted(), api.submitted()
    positions = [api.get(f"/v1/jobs/{job['id']}").get_json()["queue_position"] for job in (first, second)]
    assert positions == [0, 1]


@pytest.mark.parametrize("query", ["wait=-1", "wait=x", "wat=1"])
def test_a_misspelt_query_is_422(api: Api, query: str) -> None:
    job = api.submitted()
    assert code(api.get(f"/v1/jobs/{job['id']}?{query}")) == "request.invalid"


def test_a_list_is_paged_by_cursor_newest_first(api: Api) -> None:
    made = [api.submitted()["id"] for _ in range(5)]
    seen, cursor = [], ""
    while cursor is not None:
        page = api.get("/v1/jobs", query_string={"limit": 2} | ({"cursor": cursor} if cursor else {})).get_json()
        seen += [job["id"] for job in page["jobs"]]
        cursor = page["next_cursor"]
    assert seen == made[::-1]


def test_a_list_is_narrowed_by_state_pipeline_time_and_metadata(api: Api) -> None:
    kept = api.submitted(metadata='{"camera": "7"}')
    api.submitted(metadata='{"camera": "8"}')
    now = datetime.now(UTC)
    early, late = (now - timedelta(minutes=1)).isoformat(), (now + timedelta(minutes=1)).isoformat()

    def found(**query: str) -> list[str]:
        return [job["id"] for job in api.get("/v1/jobs", query_string=query).get_json()["jobs"]]

    assert found(**{"metadata.camera": "7"}) == [kept["id"]]
    assert len(found(state="queued,running", pipeline="motion", created_after=early, created_before=late)) == 2
    assert found(state="succeeded") == found(pipeline="steps") == found(created_after=late) == []


@pytest.mark.parametrize("query", ["limit=201", "limit=0", "state=lost", "camera=7", "created_after=yesterday"])
def test_a_wrong_filter_is_422(api: Api, query: str) -> None:
    assert code(api.get(f"/v1/jobs?{query}")) == "request.invalid"


def test_a_foreign_cursor_is_400(api: Api) -> None:
    assert code(api.get("/v1/jobs?cursor=nonsense")) == "cursor.invalid"


def test_cancel_ends_a_job_at_once_and_leaves_an_ended_one(api: Api) -> None:
    job = api.submitted()
    assert api.post(f"/v1/jobs/{job['id']}/cancel").get_json()["state"] == "canceled"
    done = api.submitted()
    api.worker().run()
    assert api.post(f"/v1/jobs/{done['id']}/cancel").get_json()["state"] == "succeeded"


def test_a_replay_is_a_new_run_and_its_params_are_checked(api: Api) -> None:
    job = api.submitted()
    path = f"/v1/jobs/{job['id']}/replay"
    assert code(api.post(path)) == "state.conflict"
    api.worker().run()
    assert code(api.post(path, json={"params": {"width": 1}})) == "params.invalid"
    assert code(api.post(path, json={"pipeline": "steps"})) == "request.invalid"
    again = api.post(path, json={"params": {"width": 100}})
    assert again.status_code == 202
    assert (again.get_json()["run"], again.get_json()["state"]) == (2, "queued")
    assert again.get_json()["params"] == {"width": 100, "sampler": {"policy": "stride", "stride": 5}}


def test_erasing_a_job_takes_its_objects_along(api: Api) -> None:
    job = api.submitted()
    assert api.call("DELETE", f"/v1/jobs/{job['id']}").status_code == 204
    assert code(api.get(f"/v1/jobs/{job['id']}")) == "job.unknown"
    assert objects(api) == []


def test_states_of_the_api_are_those_of_the_words(api: Api) -> None:
    schema = api.get("/v1/openapi.json").get_json()["components"]["schemas"]["JobState"]
    assert schema["enum"] == [state.value for state in JobState]
