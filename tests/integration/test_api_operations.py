"""Pipelines, models, queue, workers, pauses, health, metrics, pages and what every answer carries."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import text

from storage.access import make_secret
from storage.errors import ObjectStoreUnavailable
from storage.model_rows import NewVersion
from tests.fakes.dead_ports import frozen_server, nobody
from tests.integration.api_bed import Api, served_app, settings_for
from tests.integration.queue_bed import wait_until


def test_pipelines_come_with_their_schema_and_their_live_workers(api: Api) -> None:
    motion, steps = api.get("/v1/pipelines").get_json()["pipelines"]
    assert (motion["name"], steps["name"], motion["live_workers"]) == ("motion", "steps", 0)
    assert motion["params_schema"]["properties"]["width"]["default"] == 640
    assert api.get("/v1/pipelines/motion").get_json() == motion


def test_a_model_version_is_activated_and_rolled_back(api: Api) -> None:
    for version in ("1", "2"):
        api.services.models.register(NewVersion("face", version, f"d{version}", "detect", {}))

    def active() -> list[str]:
        return [one["version"] for one in api.get("/v1/models").get_json()["models"] if one["active"]]

    assert active() == ["2"]
    assert api.post("/v1/models/face/activate", json={"version": "1"}).get_json()["active"] is True
    assert active() == ["1"]
    assert api.post("/v1/models/face/activate", json={"version": "3"}).status_code == 404
    assert active() == ["1"]
    assert api.post("/v1/models/face/rollback").get_json()["version"] == "2"
    assert active() == ["2"]


def test_the_queue_tells_depth_lanes_and_jobs(api: Api) -> None:
    api.submitted()
    queue = api.get("/v1/queue").get_json()
    (lane,) = queue["lanes"]
    assert (lane["lane"], lane["size_class"], lane["ready"], lane["live_workers"]) == ("cpu", "short", 1, 0)
    assert queue["jobs"]["queued"] == 1
    assert queue["paused"] == []


def test_a_pause_is_shown_to_those_who_may_see_it_and_undone(api: Api) -> None:
    assert api.post("/v1/pause", json={"kind": "tenant", "name": "beta"}).get_json() == {"changed": True}
    assert api.post("/v1/pause", json={"kind": "tenant", "name": "beta"}).get_json() == {"changed": False}
    assert [one["name"] for one in api.get("/v1/queue").get_json()["paused"]] == ["beta"]
    assert api.as_caller("acme", ["read"]).get("/v1/queue").get_json()["paused"] == []
    assert [one["name"] for one in api.as_caller("beta", ["read"]).get("/v1/queue").get_json()["paused"]] == ["beta"]
    assert api.post("/v1/resume", json={"kind": "tenant", "name": "beta"}).get_json() == {"changed": True}
    assert api.post("/v1/pause", json={"kind": "everything", "name": "x"}).status_code == 422


def test_a_job_of_a_paused_pipeline_says_so(api: Api) -> None:
    api.post("/v1/pause", json={"kind": "pipeline", "name": "motion"})
    assert api.submitted()["waiting_for"] == "resume"


def test_a_worker_is_listed_and_drained(api: Api) -> None:
    worker = api.worker()
    (row,) = api.get("/v1/workers").get_json()["workers"]
    assert (row["id"], row["state"]) == (worker.id, "live")
    assert api.post(f"/v1/workers/{worker.id}/drain").status_code == 202
    assert api.get("/v1/workers").get_json()["workers"][0]["state"] == "draining"
    assert api.post("/v1/workers/none/drain").get_json()["code"] == "worker.unknown"


def test_health_asks_nobody_and_ready_asks_all(api: Api) -> None:
    assert api.client.get("/health").get_json() == {"status": "ok"}
    assert api.client.get("/ready").get_json() == {
        "status": "ok", "parts": {"database": "ok", "store": "ok", "redis": "ok"},
    }  # fmt: skip


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[Any]:
    """An app whose database and Redis are not there."""
    from web.app import create_app
    from web.services import build_services

    settings = settings_for("postgresql://nobody@127.0.0.1:9/none", "redis://127.0.0.1:9/0", tmp_path / "objects")
    services = build_services(settings)
    yield create_app(settings, services).test_client()
    services.close()


def test_ready_names_the_broken_parts_and_no_secret(lonely: Any) -> None:
    response = lonely.get("/ready")
    assert response.status_code == 503
    assert response.get_json() == {
        "status": "down", "parts": {"database": "down: does not answer", "store": "ok", "redis": "degraded"},
    }  # fmt: skip
    assert lonely.get("/health").status_code == 200


def test_without_the_database_a_submission_is_503_with_retry_after(lonely: Any) -> None:
    headers = {"Authorization": f"Bearer {make_secret()}"}
    response = lonely.post("/v1/jobs", data={"pipeline": "motion"}, headers=headers)
    assert (response.status_code, response.get_json()["code"]) == (503, "database.unavailable")
    assert "Retry-After" in response.headers
    assert "127.0.0.1:9" not in response.get_data(as_text=True)


def test_without_redis_a_submission_is_202_in_no_time(database_url: str, tmp_path: Path) -> None:
    settings = settings_for(database_url, "redis://127.0.0.1:9/0", tmp_path / "objects")
    with served_app(settings) as api:
        started_at = time.monotonic()
        assert api.submit().status_code == 202
        assert time.monotonic() - started_at < 2.5
        assert api.client.get("/ready").get_json()["status"] == "degraded"
        assert api.client.get("/ready").status_code == 200


class DownStore:
    """An object store that does not answer."""

    def put(self, *_: Any, **__: Any) -> Any:
        raise ObjectStoreUnavailable("no route to 10.0.0.1")

    def check(self) -> None:
        raise ObjectStoreUnavailable("no route to 10.0.0.1")


def test_with_the_database_read_only_nothing_is_acknowledged_and_reading_goes_on(api: Api) -> None:
    job_id = api.submitted()["id"]
    with api.services.database.transaction() as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    api.services.database.close()
    for response in (api.submit(), api.post(f"/v1/jobs/{job_id}/cancel"), api.call("DELETE", f"/v1/jobs/{job_id}")):
        assert (response.status_code, response.get_json()["code"]) == (503, "database.unavailable")
        assert response.headers["Retry-After"]
    assert api.get(f"/v1/jobs/{job_id}").get_json()["state"] == "queued"
    assert [job["id"] for job in api.get("/v1/jobs").get_json()["jobs"]] == [job_id]


def test_without_the_object_store_a_submission_is_503_and_ready_names_it(api: Api) -> None:
    object.__setattr__(api.services, "objects", DownStore())
    response = api.submit()
    assert (response.status_code, response.get_json()["code"]) == (503, "storage.unavailable")
    assert "10.0.0.1" not in response.get_data(as_text=True)
    assert api.client.get("/ready").get_json()["parts"]["store"] == "down: does not answer"
    assert api.get("/v1/jobs").get_json()["jobs"] == []


@pytest.fixture(params=[nobody, frozen_server], ids=["refuses", "freezes"])
def s3_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An S3 endpoint that is not there, or takes connections and says nothing."""
    with request.param() as port:
        yield f"http://127.0.0.1:{port}"


def test_without_s3_a_submission_is_503_within_three_seconds(
    database_url: str, redis_url: str, s3_url: str, tmp_path: Path
) -> None:
    s3 = {"store": "s3://bucket", "s3_endpoint_url": s3_url, "s3_access_key": "a", "s3_secret_key": "b" * 20}
    with served_app(settings_for(database_url, redis_url, tmp_path, **s3)) as api:
        started_at = time.monotonic()
        response = api.submit()
        assert (response.status_code, response.get_json()["code"]) == (503, "storage.unavailable")
        assert time.monotonic() - started_at < 3.0


def test_a_fault_of_ours_is_500_without_its_reason(api: Api) -> None:
    object.__setattr__(api.services, "models", None)
    response = api.get("/v1/models")
    assert (response.status_code, response.get_json()["code"]) == (500, "internal.error")
    assert "NoneType" not in response.get_data(as_text=True)


def test_metrics_need_scope_operate_and_tell_requests_and_queue(api: Api) -> None:
    api.submitted()
    assert api.client.get("/metrics").status_code == 401
    assert api.as_caller("acme", ["read"]).get("/metrics").status_code == 403
    text = api.get("/metrics").get_data(as_text=True)
    assert 'fq_segments{lane="cpu",size_class="short",state="ready"} 1.0' in text
    assert 'fq_jobs{state="queued"} 1.0' in text
    assert "fq_database_up 1.0" in text
    assert re.search(r'fq_http_requests_total\{method="POST",route="/v1/jobs",status="202"\} \d', text)


def test_metrics_may_be_opened_by_a_setting(database_url: str, redis_url: str, tmp_path: Path) -> None:
    settings = settings_for(database_url, redis_url, tmp_path / "objects", metrics_public=True)
    with served_app(settings) as api:
        assert api.client.get("/metrics").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "route.unknown"),
        ("GET", "/v1/jobs?pipeline=%00", 400, "request.malformed"),
        ("GET", "/v1", 404, "route.unknown"),
        ("PATCH", "/v1/jobs", 405, "method.not_allowed"),
        ("PUT", "/health", 405, "method.not_allowed"),
    ],
)
def test_a_wrong_path_or_method_is_a_problem_too(api: Api, method: str, path: str, status: int, code: str) -> None:
    response = api.call(method, path)
    assert (response.status_code, response.get_json()["code"]) == (status, code)
    assert response.content_type == "application/problem+json"
    assert ("Allow" in response.headers) == (status == 405)


@pytest.mark.parametrize(
    ("data", "content_type", "status", "code"),
    [
        (b"", None, 400, "body.empty"),
        (b"", "application/json", 400, "body.malformed"),
        (b"{", "application/json", 400, "body.malformed"),
        (b'{"kind": "lane", "name": "cpu"}', "text/plain", 415, "type.unsupported"),
        (b"kind=lane&name=cpu", "application/x-www-form-urlencoded", 415, "type.unsupported"),
        (b'["lane"]', "application/json", 422, "request.invalid"),
        (b'{"kind": "lane", "name": "cpu", "by": "me"}', "application/json", 422, "request.invalid"),
        (b" " * 2_000_000, "application/json", 413, "body.too_large"),
    ],
)
def test_a_body_that_is_not_the_json_asked_for_is_a_problem(
    api: Api, data: bytes, content_type: str | None, status: int, code: str
) -> None:
    response = api.post("/v1/pause", data=data, content_type=content_type)
    assert (response.status_code, response.get_json()["code"]) == (status, code)
    assert api.get("/v1/queue").get_json()["paused"] == []


@pytest.mark.parametrize("path", ["/", "/docs", "/health", "/v1/jobs", "/nothing", "/static/page.js"])
def test_every_answer_carries_the_security_headers(api: Api, path: str) -> None:
    response = api.get(path)
    policy = response.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Request-ID"]
    assert "Access-Control-Allow-Origin" not in response.headers


def test_a_request_id_is_kept_when_well_formed_and_replaced_when_not(api: Api) -> None:
    assert api.get("/health", headers={"X-Request-ID": "abc-12345"}).headers["X-Request-ID"] == "abc-12345"
    assert api.get("/health", headers={"X-Request-ID": "a b<script>"}).headers["X-Request-ID"] != "a b<script>"


def test_only_listed_origins_may_call_from_a_browser(database_url: str, redis_url: str, tmp_path: Path) -> None:
    origin = "https://app.example.org"
    settings = settings_for(database_url, redis_url, tmp_path / "objects", cors_origins=(origin,))
    with served_app(settings) as api:
        allowed = api.client.options("/v1/jobs", headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
        assert allowed.headers["Access-Control-Allow-Origin"] == origin
        assert "Access-Control-Allow-Credentials" not in allowed.headers
        other = api.client.get("/health", headers={"Origin": "https://evil.example"})
        assert "Access-Control-Allow-Origin" not in other.headers


def test_forwarded_headers_are_believed_from_as_many_proxies_as_there_are(
    database_url: str, redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    headers = {"X-Forwarded-For": "9.9.9.9, 1.2.3.4"}
    for hops, address in ((0, "127.0.0.1"), (1, "1.2.3.4")):
        with served_app(settings_for(database_url, redis_url, tmp_path / "objects", proxy_hops=hops)) as api:
            api.get("/v1/jobs", headers=headers)
            assert f"address={address}" in capsys.readouterr().out


def test_the_pages_use_only_files_of_this_server_and_nothing_inline(api: Api) -> None:
    for path in ("/", "/docs"):
        page = api.client.get(path).get_data(as_text=True)
        files = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert len(files) > 3
        assert all(file.startswith("/") and not file.startswith("//") for file in files)
        assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", page)
        for file in files:
            response = api.client.get(file)
            # /ready may say that something is degraded, all else must be there
            assert response.status_code == 200, file
            response.close()


def test_the_doorbell_has_rung_for_a_submitted_job(api: Api, redis_url: str) -> None:
    api.submitted()
    with redis.Redis.from_url(redis_url) as client:
        wait_until(lambda: client.llen("cpu-short"), lambda length: length == 1, seconds=5)
