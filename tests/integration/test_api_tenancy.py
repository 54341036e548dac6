"""Who may call what: a matrix made from the routes themselves, so that a new route is in it at once."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from werkzeug.routing import Rule

from storage.ids import new_id
from tests.integration.api_bed import Api
from web.auth import PUBLIC

#: bodies of calls that would else end at 422 before the id is looked at
BODIES = {"/v1/uploads/<upload_id>/parts": {"numbers": [1]}, "/v1/models/<name>/activate": {"version": "1"}}
#: scopes a caller may lack, and what is left to it
OTHERS = {"read": ["submit"], "submit": ["read"], "operate": ["submit", "read"]}


def routes(api: Api) -> Iterator[tuple[str, Rule]]:
    for rule in api.app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield method, rule


def scope_of(api: Api, rule: Rule) -> str:
    return PUBLIC if rule.endpoint == "static" else api.app.view_functions[rule.endpoint].__dict__["scope"]


def guarded(api: Api) -> list[tuple[str, Rule]]:
    found = [(method, rule) for method, rule in routes(api) if scope_of(api, rule) != PUBLIC]
    assert len(found) > 20
    return found


def filled(rule: Rule, **ids: str) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda match: ids.get(match.group(1), "none"), rule.rule)


def test_every_route_says_who_may_call_it(api: Api) -> None:
    for _, rule in routes(api):
        assert scope_of(api, rule)


def test_the_public_routes_are_these_and_no_others(api: Api) -> None:
    public = {rule.rule for _, rule in routes(api) if scope_of(api, rule) == PUBLIC}
    assert public == {
        "/", "/docs", "/docs/viewer/<path:name>", "/v1/openapi.json", "/health", "/ready", "/metrics",
        "/objects/<path:key>", "/static/<path:filename>",
    }  # fmt: skip


@pytest.mark.parametrize("key", ["", "fq_wrong", "fq_" + "a" * 49, "garbled é", "Basic x"])
def test_without_a_valid_key_every_route_is_401(api: Api, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    for method, rule in guarded(api):
        response = api.client.open(filled(rule, job_id=new_id()), method=method, headers=headers)
        assert response.status_code == 401, (method, rule.rule)
        assert response.get_json()["code"] in {"key.missing", "key.invalid"}
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        response.close()


def test_with_a_key_of_other_scopes_every_route_is_403(api: Api) -> None:
    for method, rule in guarded(api):
        needed = scope_of(api, rule)
        response = api.as_caller("acme", OTHERS[needed]).call(method, filled(rule, job_id=new_id()))
        assert (response.status_code, response.get_json()["scope"]) == (403, needed), (method, rule.rule)


def test_another_tenants_job_or_upload_is_404_on_every_route(api: Api) -> None:
    job, upload = api.submitted(), api.post("/v1/uploads", json={"size_bytes": 10}).get_json()
    stranger = api.as_caller("other", ["submit", "read", "operate", "admin"])
    own = [(method, rule) for method, rule in guarded(api) if "<job_id>" in rule.rule or "<upload_id>" in rule.rule]
    assert len(own) >= 11
    for method, rule in own:
        path = filled(rule, job_id=job["id"], upload_id=upload["id"])
        response = stranger.call(method, path, json=BODIES.get(rule.rule))
        assert response.status_code == 404, (method, rule.rule)
        assert response.get_json()["code"] in {"job.unknown", "upload.unknown"}
    assert api.get(f"/v1/jobs/{job['id']}").get_json()["state"] == "queued"
    assert api.get(f"/v1/uploads/{upload['id']}").get_json()["state"] == "open"


@pytest.mark.parametrize("wrong", ["none", "0" * 36, "..%2f..%2fx", "' or 1=1 --", "%00", "é"])
def test_an_id_that_is_none_is_404_on_every_route(api: Api, wrong: str) -> None:
    for method, rule in guarded(api):
        if "<" in rule.rule:
            path = filled(rule, job_id=wrong, upload_id=wrong, name=wrong, worker_id=wrong)
            response = api.call(method, path, json=BODIES.get(rule.rule))
            assert response.status_code == 404, (method, path, response.get_data(as_text=True))


def test_another_tenants_upload_is_no_input(api: Api) -> None:
    upload = api.post("/v1/uploads", json={"size_bytes": 10}).get_json()
    order = {"pipeline": "motion", "input": {"upload_id": upload["id"]}}
    assert api.as_caller().post("/v1/jobs", json=order).get_json()["code"] == "upload.unknown"


def test_a_list_holds_only_ones_own_jobs(api: Api) -> None:
    api.submitted(metadata='{"a": 1}')
    assert api.as_caller().get("/v1/jobs?metadata.a=1").get_json()["jobs"] == []


def test_a_revoked_key_is_401_at_once(api: Api) -> None:
    key, secret = api.services.keys.issue(tenant="acme", name="short", scopes=["read"])
    headers = {"X-API-Key": secret}
    assert api.client.get("/v1/jobs", headers=headers).status_code == 200
    api.services.keys.revoke(key.id)
    assert api.client.get("/v1/jobs", headers=headers).status_code == 401


def test_a_key_in_the_url_is_no_key(api: Api) -> None:
    assert api.client.get(f"/v1/jobs?key={api.secret}&access_token={api.secret}").status_code == 401
