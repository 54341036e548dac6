"""What tests of jobs over HTTP look at: problem codes, objects in the store, jobs listed."""

from __future__ import annotations

from typing import Any

from werkzeug.test import TestResponse

from tests.integration.api_bed import Api


def objects(api: Api) -> list[str]:
    return [stored.key for stored in api.services.objects.list("")]


def jobs(api: Api) -> list[dict[str, Any]]:
    return list(api.get("/v1/jobs").get_json()["jobs"])


def code(response: TestResponse) -> str:
    assert response.content_type == "application/problem+json"
    problem = response.get_json()
    assert problem["status"] == response.status_code
    assert problem["request_id"] == response.headers["X-Request-ID"]
    return str(problem["code"])
