"""Webhooks as a tenant manages them over HTTP."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from storage.audit import Audit
from storage.ids import new_id
from storage.webhooks.outbox import WebhookOutbox
from storage.webhooks.secrets import LIVE_MAX
from tests.fakes.webhook_receiver import Receiver, webhook_receiver
from tests.integration.api_bed import PNG, Api
from workers.dispatcher.webhook_sender import WebhookSender
from workers.dispatcher.webhooks import Webhooks
from workers.remote_request import FetchRules


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with webhook_receiver() as running:
        yield running


@pytest.fixture
def duty(api: Api, receiver: Receiver) -> Iterator[Webhooks]:
    sender = WebhookSender(FetchRules(max_bytes=0, private_hosts=frozenset({receiver.address})))
    made = Webhooks(
        WebhookOutbox(api.services.database), api.services.webhook_secrets, sender,
        base_url=api.services.settings.public_url, retry_scale=0.002,
    )  # fmt: skip
    yield made
    made.close(5.0)


def secret_of(api: Api, **order: Any) -> dict[str, Any]:
    answer = api.post("/v1/webhooks/secrets", json=order)
    assert answer.status_code == 201, answer.get_data(as_text=True)
    return dict(answer.get_json())


def canceled(api: Api, url: str) -> str:
    """A job that has ended; return its id."""
    job_id = str(api.submitted(webhook_url=url)["id"])
    assert api.post(f"/v1/jobs/{job_id}/cancel").status_code == 200
    return job_id


def sent(duty: Webhooks, good: Callable[[], bool] = lambda: True) -> None:
    """Run passes until what was due is sent and ``good`` holds."""
    deadline = time.monotonic() + 20
    while True:
        duty.run_pass()
        assert duty.wait(20)
        if good():
            return
        assert time.monotonic() < deadline


def deliveries(api: Api, query: str = "") -> list[dict[str, Any]]:
    return list(api.get(f"/v1/webhooks/deliveries{query}").get_json()["deliveries"])


def test_a_secret_is_shown_once_and_has_the_shape_of_the_specification(api: Api) -> None:
    answer = api.post("/v1/webhooks/secrets", json={})
    made = answer.get_json()
    assert answer.headers["Cache-Control"] == "no-store"
    prefix, _, encoded = made["secret"].partition("_")
    assert (prefix, len(base64.b64decode(encoded, validate=True)), made["expires_at"]) == ("whsec", 32, None)
    listed = api.get("/v1/webhooks/secrets").get_json()["secrets"]
    assert listed == [{"id": made["id"], "created_at": made["created_at"], "expires_at": None}]


def test_a_new_secret_gives_the_earlier_ones_an_end_and_keeps_the_sooner_one(api: Api) -> None:
    first = secret_of(api)
    second = secret_of(api, overlap_seconds=60)
    third = secret_of(api, overlap_seconds=3600)
    listed = {one["id"]: one["expires_at"] for one in api.get("/v1/webhooks/secrets").get_json()["secrets"]}
    assert list(listed) == [third["id"], second["id"], first["id"]]
    assert listed[third["id"]] is None
    assert listed[first["id"]] < listed[second["id"]]
    secret_of(api, overlap_seconds=0)
    assert len(api.get("/v1/webhooks/secrets").get_json()["secrets"]) == 1


def test_so_many_secrets_sign_and_no_more(api: Api) -> None:
    made = [secret_of(api) for _ in range(LIVE_MAX)]
    answer = api.post("/v1/webhooks/secrets", json={})
    assert (answer.status_code, answer.get_json()["code"]) == (409, "webhook.secrets_full")
    assert len(api.get("/v1/webhooks/secrets").get_json()["secrets"]) == LIVE_MAX
    assert api.call("DELETE", f"/v1/webhooks/secrets/{made[0]['id']}").status_code == 204
    assert api.call("DELETE", f"/v1/webhooks/secrets/{made[0]['id']}").get_json()["code"] == "webhook.unknown"
    secret_of(api)


@pytest.mark.parametrize("body", [{"overlap_seconds": -1}, {"overlap_seconds": 10**9}, {"secret": "mine"}])
def test_an_order_of_a_secret_is_checked(api: Api, body: dict[str, Any]) -> None:
    assert api.post("/v1/webhooks/secrets", json=body).status_code == 422


def test_a_webhook_url_needs_a_secret_first_both_ways_and_nothing_is_kept(api: Api) -> None:
    form = api.submit(webhook_url="https://example.org/hook")
    source = {"pipeline": "motion", "input": {"url": "https://example.org/a.mp4"}}
    plain = api.post("/v1/jobs", json=source | {"webhook_url": "https://example.org/hook"})
    for answer in (form, plain):
        assert (answer.status_code, answer.get_json()["code"]) == (409, "webhook.secret_missing")
        assert answer.get_json()["advice"] == "POST /v1/webhooks/secrets"
    assert list(api.services.objects.list("")) == []
    secret_of(api.as_caller("other"))
    assert api.submit(webhook_url="https://example.org/hook").status_code == 409, "another tenant's secret served"
    secret_of(api)
    assert api.submitted(webhook_url="https://example.org/hook")["webhook_url"] == "https://example.org/hook"
    assert api.post("/v1/jobs", json=source | {"webhook_url": "https://example.org/hook"}).status_code == 202
    assert api.submitted(webhook_url="")["webhook_url"] is None


@pytest.mark.parametrize(
    "url", ["ftp://example.org/", "https://u:p@example.org/", "nonsense", "https://e.org/" + "a" * 2000]
)
def test_a_bad_webhook_url_is_a_fault_of_its_field(api: Api, url: str) -> None:
    secret_of(api)
    for answer in (
        api.submit(webhook_url=url),
        api.post(
            "/v1/jobs", json={"pipeline": "motion", "input": {"url": "https://example.org/a"}, "webhook_url": url}
        ),
    ):
        assert (answer.status_code, answer.get_json()["code"]) == (422, "request.invalid")
        assert [fault["path"] for fault in answer.get_json()["faults"]] == ["/webhook_url"]


def test_one_idempotency_key_with_another_webhook_url_is_another_request(api: Api) -> None:
    secret_of(api)
    key = {"headers": {"Idempotency-Key": "k"}}
    first = api.submitted(PNG, webhook_url="https://a.example/", **key)
    assert api.submitted(PNG, webhook_url="https://a.example/", **key)["id"] == first["id"]
    answer = api.submit(PNG, webhook_url="https://b.example/", **key)
    assert answer.get_json()["code"] == "idempotency.conflict"


def test_a_delivery_is_listed_looked_at_and_sent_again(api: Api, receiver: Receiver, duty: Webhooks) -> None:
    secret = secret_of(api)["secret"]
    job_id, other = canceled(api, receiver.url()), canceled(api, receiver.url("/other"))
    assert {one["state"] for one in deliveries(api)} == {"pending"}
    receiver.behave("/hook", 500, 200)
    sent(duty, lambda: deliveries(api, "?state=pending") == [])
    (found,) = deliveries(api, f"?job_id={job_id}")
    assert (found["type"], found["run"], found["state"], found["attempts"]) == ("job.canceled", 1, "delivered", 2)
    whole = api.get(f"/v1/webhooks/deliveries/{found['id']}").get_json()
    assert {name: whole[name] for name in found} == found
    assert [entry["status"] for entry in whole["log"]] == [500, 200]
    assert whole["body"] == [got for got in receiver.got if got.path == "/hook"][-1].verified(secret)
    answer = api.post(f"/v1/webhooks/deliveries/{found['id']}/resend")
    assert (answer.status_code, answer.get_json()["state"]) == (202, "pending")
    assert answer.headers["Location"].endswith(f"/v1/webhooks/deliveries/{found['id']}")
    sent(duty)
    assert [got.event_id for got in receiver.got if got.path == "/hook"] == [found["id"]] * 3
    assert deliveries(api, f"?job_id={other}")[0]["attempts"] == 1


def test_deliveries_are_paged_and_narrowed(api: Api, receiver: Receiver, duty: Webhooks) -> None:
    secret_of(api)
    job_ids = [canceled(api, receiver.url()) for _ in range(3)]
    sent(duty)
    job_ids.append(canceled(api, receiver.url()))
    first = api.get("/v1/webhooks/deliveries?limit=3").get_json()
    rest = api.get(f"/v1/webhooks/deliveries?limit=3&cursor={first['next_cursor']}").get_json()
    assert [one["job_id"] for one in first["deliveries"] + rest["deliveries"]] == job_ids[::-1]
    assert rest["next_cursor"] is None
    assert [one["job_id"] for one in deliveries(api, "?state=pending")] == [job_ids[3]]
    assert deliveries(api, f"?state=pending&job_id={job_ids[0]}") == []
    assert deliveries(api, "?job_id=nonsense") == []


@pytest.mark.parametrize(
    ("query", "status"), [("?state=lost", 422), ("?limit=0", 422), ("?what=1", 422), ("?cursor=x", 400)]
)
def test_a_listing_says_what_it_does_not_understand(api: Api, query: str, status: int) -> None:
    assert api.get(f"/v1/webhooks/deliveries{query}").status_code == status
    if "state" not in query:
        assert api.get(f"/v1/webhooks/endpoints{query}").status_code == status


def test_an_endpoint_that_wants_no_more_is_shown_and_enabled(api: Api, receiver: Receiver, duty: Webhooks) -> None:
    secret_of(api)
    receiver.behave("/hook", 410)
    receiver.behave("/shaky", 500)
    job_id, _, _ = (canceled(api, receiver.url(path)) for path in ("/hook", "/shaky", "/fine"))
    sent(duty)
    endpoints = {one["url"]: one for one in api.get("/v1/webhooks/endpoints").get_json()["endpoints"]}
    states = {url.rpartition("/")[2]: one["state"] for url, one in endpoints.items()}
    assert states == {"hook": "disabled", "shaky": "failing", "fine": "ok"}
    gone = endpoints[receiver.url()]
    (disabled,) = deliveries(api, f"?job_id={job_id}")
    assert (disabled["state"], disabled["last_status"]) == ("disabled", 410)
    refused = api.post(f"/v1/webhooks/deliveries/{disabled['id']}/resend")
    assert (refused.status_code, refused.get_json()["code"]) == (409, "webhook.disabled")
    assert api.post(f"/v1/webhooks/endpoints/{gone['id']}/enable").get_json()["state"] == "ok"
    receiver.behave("/hook", 200)
    assert api.post(f"/v1/webhooks/deliveries/{disabled['id']}/resend").status_code == 202
    sent(duty)
    assert deliveries(api, f"?job_id={job_id}")[0]["state"] == "delivered"


def test_another_tenant_sees_and_changes_nothing(api: Api, receiver: Receiver, duty: Webhooks) -> None:
    secret = secret_of(api)
    canceled(api, receiver.url())
    sent(duty)
    event = deliveries(api)[0]["id"]
    endpoint = api.get("/v1/webhooks/endpoints").get_json()["endpoints"][0]["id"]
    other = api.as_caller("other")
    assert deliveries(other) == []
    assert other.get("/v1/webhooks/endpoints").get_json()["endpoints"] == []
    assert other.get("/v1/webhooks/secrets").get_json()["secrets"] == []
    calls = [
        ("GET", f"/v1/webhooks/deliveries/{event}"), ("POST", f"/v1/webhooks/deliveries/{event}/resend"),
        ("POST", f"/v1/webhooks/endpoints/{endpoint}/enable"), ("DELETE", f"/v1/webhooks/secrets/{secret['id']}"),
        ("GET", f"/v1/webhooks/deliveries/{new_id()}"), ("GET", "/v1/webhooks/deliveries/nonsense"),
    ]  # fmt: skip
    for method, path in calls:
        answer = other.call(method, path)
        assert (answer.status_code, answer.get_json()["code"]) == (404, "webhook.unknown"), path
    assert deliveries(api)[0]["state"] == "delivered"
    assert len(api.get("/v1/webhooks/secrets").get_json()["secrets"]) == 1


def test_who_changed_secrets_and_endpoints_stands_in_the_audit_without_the_secret(
    api: Api, receiver: Receiver, duty: Webhooks
) -> None:
    secret = secret_of(api)
    receiver.behave("/hook", 410)
    canceled(api, receiver.url())
    sent(duty)
    endpoint = api.get("/v1/webhooks/endpoints").get_json()["endpoints"][0]["id"]
    api.post(f"/v1/webhooks/endpoints/{endpoint}/enable")
    api.call("DELETE", f"/v1/webhooks/secrets/{secret['id']}")
    entries = Audit(api.services.database).page(cursor=None, limit=50).entries
    told = [(entry.action, entry.target, entry.tenant) for entry in entries if entry.action.startswith("webhook.")]
    assert told == [
        ("webhook.secret.delete", {"secret": secret["id"]}, "acme"),
        ("webhook.endpoint.enable", {"endpoint": endpoint}, "acme"),
        ("webhook.secret.create", {"secret": secret["id"], "overlap_seconds": 86_400}, "acme"),
    ]


@pytest.mark.parametrize(
    ("scopes", "status"), [(["read"], 403), (["submit"], 201), (["operate"], 403), (["admin"], 201)]
)
def test_secrets_are_made_with_scope_submit(api: Api, scopes: list[str], status: int) -> None:
    assert api.as_caller("acme", scopes).post("/v1/webhooks/secrets", json={}).status_code == status


def test_the_answers_are_what_the_description_says(api: Api, receiver: Receiver, duty: Webhooks) -> None:
    spec = api.client.get("/v1/openapi.json").get_json()

    def conforms(name: str, document: Any) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": spec["components"]}
        Draft202012Validator(schema).validate(document)

    conforms("NewWebhookSecret", secret_of(api))
    canceled(api, receiver.url())
    sent(duty)
    conforms("WebhookSecretList", api.get("/v1/webhooks/secrets").get_json())
    conforms("DeliveryList", api.get("/v1/webhooks/deliveries").get_json())
    conforms("DeliveryDetail", api.get(f"/v1/webhooks/deliveries/{deliveries(api)[0]['id']}").get_json())
    conforms("EndpointList", api.get("/v1/webhooks/endpoints").get_json())
    conforms("WebhookEvent", json.loads(receiver.got[0].body))
    assert set(spec["webhooks"]) == {"job.succeeded", "job.failed", "job.dead", "job.canceled"}
