"""Webhooks from the whole stack: told once, signed, and whatever the receiver does."""

from __future__ import annotations

import httpx2
import pytest
from framequeue.webhooks import verify

from bench.embedded import eventually
from deploy.local.demo import SAMPLE
from tests.e2e.embedded import finished, submitted
from tests.fakes.webhook_receiver import Got, Receiver

SECONDS = 30.0


@pytest.fixture
def secret(client: httpx2.Client) -> str:
    """A secret that verifies what is sent from now on, alone."""
    answer = client.post("/v1/webhooks/secrets", json={"overlap_seconds": 0})
    return str(answer.raise_for_status().json()["secret"])


def told(receiver: Receiver, path: str) -> list[Got]:
    return [got for got in receiver.got if got.path == path]


def delivery(client: httpx2.Client, job_id: str) -> dict[str, object]:
    answer = client.get("/v1/webhooks/deliveries", params={"job_id": job_id}).raise_for_status()
    (found,) = answer.json()["deliveries"]
    return dict(found)


def test_the_end_of_a_job_is_told_once_with_a_signature_that_verifies(
    client: httpx2.Client, receiver: Receiver, secret: str
) -> None:
    job_id = submitted(client, SAMPLE, webhook_url=receiver.url("/once"), metadata='{"camera": "7"}')
    job = finished(client, job_id)
    assert job["webhook_url"] == receiver.url("/once")
    eventually(lambda: delivery(client, job_id)["state"] == "delivered", SECONDS, "not delivered")
    (got,) = told(receiver, "/once")
    body = got.verified(secret)
    headers = {name.lower(): value for name, value in got.headers.items()}
    assert verify(got.body, headers, secret) == got.event_id == delivery(client, job_id)["id"]
    assert (body["type"], body["data"]["id"], body["data"]["run"]) == ("job.succeeded", job_id, 1)
    assert body["data"]["metadata"] == {"camera": "7"}
    urls = body["data"]["urls"]
    assert client.get(urls["self"]).raise_for_status().json()["id"] == job_id
    assert client.get(urls["result"]).status_code == 200
    history = client.get(f"/v1/jobs/{job_id}/history").raise_for_status().json()["events"]
    assert [event["data"]["state"] for event in history if event["kind"] == "webhook"] == ["pending", "delivered"]


def test_a_receiver_that_fails_at_first_gets_the_same_event_again(
    client: httpx2.Client, receiver: Receiver, secret: str
) -> None:
    receiver.behave("/shaky", 500, 503, 200)
    job_id = submitted(client, SAMPLE, webhook_url=receiver.url("/shaky"))
    assert client.post(f"/v1/jobs/{job_id}/cancel").raise_for_status().json()["state"] == "canceled"
    eventually(lambda: delivery(client, job_id)["state"] == "delivered", SECONDS, "not delivered")
    gots = told(receiver, "/shaky")
    assert len({(got.event_id, got.body) for got in gots}) == 1
    assert [got.verified(secret)["type"] for got in gots] == ["job.canceled"] * 3
    assert delivery(client, job_id)["attempts"] == 3


def test_a_place_inside_that_is_not_listed_is_told_nothing(client: httpx2.Client, secret: str) -> None:
    job_id = submitted(client, SAMPLE, webhook_url="http://127.0.0.1/inside")
    client.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
    eventually(lambda: bool(delivery(client, job_id)["attempts"]), SECONDS, "not tried")
    assert delivery(client, job_id)["last_error"] == "127.0.0.1 leads to an address that is not public"
