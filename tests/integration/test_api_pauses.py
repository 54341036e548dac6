"""The whole way of a pause: nothing is claimed, the job says why, and resuming rings."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest
import redis

from tests.integration.api_bed import Api
from tests.integration.queue_bed import wait_until
from workers.hints import CANCELS
from workers.migrate import register_built_ins


@pytest.mark.parametrize(("kind", "name"), [("pipeline", "motion"), ("lane", "cpu"), ("tenant", "acme")])
def test_a_pause_holds_claims_and_resuming_rings(api: Api, redis_url: str, kind: str, name: str) -> None:
    worker = api.worker()
    assert api.post("/v1/pause", json={"kind": kind, "name": name}).get_json() == {"changed": True}
    job = api.submitted()
    assert (job["state"], job["waiting_for"]) == ("queued", "resume")
    with pytest.raises(AssertionError, match="nothing to claim"):
        worker.take()
    with redis.Redis.from_url(redis_url) as client:
        wait_until(lambda: client.llen("cpu-short"), lambda rung: rung > 0, seconds=5)
        client.delete("cpu-short")
        assert api.post("/v1/resume", json={"kind": kind, "name": name}).get_json() == {"changed": True}
        wait_until(lambda: client.llen("cpu-short"), lambda rung: rung > 0, seconds=5)
    assert worker.take().segments[0].job_id == job["id"]


def test_workers_are_told_of_a_cancel_and_of_an_erasure(api: Api, redis_url: str) -> None:
    canceled, erased = api.submitted()["id"], api.submitted()["id"]
    api.post(f"/v1/jobs/{canceled}/cancel")
    api.call("DELETE", f"/v1/jobs/{erased}")
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:

        def told() -> set[str]:
            entries: Any = client.xrange(CANCELS)
            return {fields["job"] for _, fields in entries}

        assert wait_until(told, lambda jobs: len(jobs) == 2, seconds=5) == {canceled, erased}


def test_a_pipeline_says_how_long_it_may_run(api: Api) -> None:
    register_built_ins(api.services.registry, api.services.models)
    (motion,) = [one for one in api.get("/v1/pipelines").get_json()["pipelines"] if one["name"] == "motion"]
    assert motion["max_runtime_seconds"] == 3600.0


def test_a_full_store_is_told_and_nothing_is_acknowledged(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("storage.objects.drafts.os.write", full)
        answer = api.submit()
    assert (answer.status_code, answer.get_json()["code"]) == (507, "storage.full")
    assert "Retry-After" in answer.headers
    assert api.get("/v1/jobs").get_json()["jobs"] == []
    assert api.submitted()["state"] == "queued"
