"""The description of the API: valid, complete, and true of what is answered."""

from __future__ import annotations

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.integration.api_bed import Api, frame_rows
from web.auth import PUBLIC
from web.openapi import _path_of

#: routes that are no part of the API
PAGES = {"/", "/docs", "/docs/viewer/{name}", "/v1/openapi.json", "/objects/{key}", "/static/{filename}"}


@pytest.fixture
def spec(api: Api) -> dict[str, Any]:
    return dict(api.client.get("/v1/openapi.json").get_json())


def test_the_description_is_valid_openapi_3_1(spec: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(spec).validate()
    assert spec["openapi"].startswith("3.1")


def test_every_route_is_described_and_nothing_else_is(api: Api, spec: dict[str, Any]) -> None:
    routes = {
        (_path_of(rule), method.lower())
        for rule in api.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if _path_of(rule) not in PAGES
    }
    assert routes == {(path, method) for path, operations in spec["paths"].items() for method in operations}


def test_every_call_has_a_summary_security_and_the_problems_it_may_answer(api: Api, spec: dict[str, Any]) -> None:
    scopes = {
        (_path_of(rule), method.lower()): api.app.view_functions[rule.endpoint].__dict__.get("scope")
        for rule in api.app.url_map.iter_rules()
        for method in rule.methods or set()
        if rule.endpoint != "static"
    }
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            assert re.fullmatch(r"[A-Z].{9,118}\.", operation["summary"]), operation["summary"]
            guarded = scopes[path, method] != PUBLIC
            assert bool(operation["security"]) == guarded
            assert ({"401", "403", "503"} <= set(operation["responses"])) == guarded or path == "/ready"
            assert ("404" in operation["responses"]) == ("{" in path or (path, method) == ("/v1/jobs", "post"))


def test_operation_ids_are_unique(spec: dict[str, Any]) -> None:
    ids = [operation["operationId"] for operations in spec["paths"].values() for operation in operations.values()]
    assert len(set(ids)) == len(ids)


def conforms(spec: dict[str, Any], name: str, document: Any) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": spec["components"]}
    Draft202012Validator(schema).validate(document)


def test_what_is_answered_is_what_is_described(api: Api, spec: dict[str, Any]) -> None:
    job = api.submitted()
    conforms(spec, "JobDocument", job)
    api.worker().run(frame_rows(2))
    conforms(spec, "JobDocument", api.get(f"/v1/jobs/{job['id']}").get_json())
    conforms(spec, "JobList", api.get("/v1/jobs").get_json())
    conforms(spec, "FramePage", api.get(f"/v1/jobs/{job['id']}/frames").get_json())
    conforms(spec, "PipelineList", api.get("/v1/pipelines").get_json())
    conforms(spec, "QueueDocument", api.get("/v1/queue").get_json())
    conforms(spec, "WorkerList", api.get("/v1/workers").get_json())
    conforms(spec, "UploadDocument", api.post("/v1/uploads", json={"size_bytes": 5}).get_json())
    conforms(spec, "Readiness", api.get("/ready").get_json())
    conforms(spec, "Problem", api.get("/v1/jobs/none").get_json())


def test_both_ways_to_submit_are_described(spec: dict[str, Any]) -> None:
    content = spec["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/json"}
    form = spec["components"]["schemas"]["JobForm"]
    fields = {"file", "pipeline", "params", "priority", "metadata", "run_after", "expires_in_seconds", "allow_partial"}
    assert fields <= set(form["properties"])
    conforms(spec, "JobOrder", {"pipeline": "motion", "input": {"url": "https://example.org/a.mp4"}})
