"""One attempt to deliver: where it may go, and what it does not fall for."""

from __future__ import annotations

import ipaddress
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storage.ids import new_id
from storage.webhooks.outbox import Attempt, ClaimedEvent
from storage.webhooks.outbox import Receiver as Place
from storage.webhooks.secrets import secret_text
from tests.fakes.certificate import self_signed
from tests.fakes.webhook_receiver import Receiver, webhook_receiver
from workers.dispatcher.webhook_sender import WebhookSender
from workers.remote_request import FetchRules

SECRET = b"s" * 32


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with webhook_receiver() as running:
        yield running


def event(url: str) -> ClaimedEvent:
    return ClaimedEvent(
        id=new_id(), claim_id=new_id(), receiver=Place("t", "http://x"), job_id=new_id(), url=url,
        body='{"type": "job.succeeded", "data": {"metadata": {"n": "\u00e9"}}}', attempts=0, retries=0, age_seconds=0.0,
        secrets=(SECRET,),
    )  # fmt: skip


def send(url: str, *, ssl_context: ssl.SSLContext | None = None, **rules: Any) -> Attempt:
    given = {"max_bytes": 0, "connect_seconds": 2.0, "stall_seconds": 2.0, "total_seconds": 3.0} | rules
    return WebhookSender(FetchRules(**given), ssl_context=ssl_context).send(event(url)).attempt


def test_what_is_sent_is_signed_and_tells_nothing_else_of_us(receiver: Receiver) -> None:
    attempt = send(receiver.url("/a?b=c"), private_hosts=frozenset({receiver.address}))
    assert (attempt.status, attempt.error, attempt.delivered) == (204, None, True)
    (got,) = receiver.got
    assert got.verified(secret_text(SECRET))["data"] == {"metadata": {"n": "\u00e9"}}
    assert got.path == "/a?b=c"
    assert {name: value for name, value in got.headers.items() if not name.startswith("webhook-")} == {
        "Host": receiver.address,
        "User-Agent": "framequeue",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "Content-Type": "application/json",
        "Content-Length": str(len(got.body)),
    }


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "0x7f000001", "2130706433", "0", "localhost", "[::1]", "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]", "169.254.169.254", "10.0.0.1", "100.64.0.1", "[fec0::1]",
    ],
)  # fmt: skip
def test_no_private_address_is_told_anything(receiver: Receiver, host: str) -> None:
    attempt = send(f"http://{host}:{receiver.port}/", ports=frozenset({receiver.port}))
    assert (attempt.status, attempt.delivered) == (None, False)
    assert attempt.error is not None
    assert "not public" in attempt.error
    assert receiver.got == []


def test_only_listed_ports_are_sent_to(receiver: Receiver) -> None:
    assert send("http://8.8.8.8:22/").error == "port 22 is not one that we connect to"


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["2606:4700::1", "10.1.2.3"]])
def test_a_name_that_leads_inside_is_refused(
    receiver: Receiver, names: dict[str, list[list[str]]], addresses: list[str]
) -> None:
    names["hooks.test"] = [addresses]
    attempt = send(receiver.url(host="hooks.test"), ports=frozenset({receiver.port}))
    assert attempt.error == "hooks.test leads to an address that is not public"
    assert receiver.got == []


def test_a_name_that_changes_between_check_and_connection_leads_nowhere_else(
    receiver: Receiver, names: dict[str, list[list[str]]]
) -> None:
    # the first answer passes the check, any second one would lead inside
    names["rebind.test"] = [["127.0.0.9"], ["127.0.0.1"]]
    attempt = send(receiver.url(host="rebind.test"), private_hosts=frozenset({f"rebind.test:{receiver.port}"}))
    assert attempt.status is None
    assert (receiver.got, names["rebind.test"]) == ([], [["127.0.0.1"]])


def test_a_name_that_does_not_exist_is_said_so(names: dict[str, list[list[str]]]) -> None:
    names["gone.test"] = []
    assert send("http://gone.test/").error == "the name gone.test cannot be resolved"


def test_closed_networks_are_closed_to_webhooks_too() -> None:
    attempt = send("http://8.8.8.8/", denied_networks=[ipaddress.ip_network("8.8.8.0/24")])
    assert attempt.error == "8.8.8.8 leads to an address that is not public"


def test_proxy_variables_are_not_read(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert send(receiver.url(), private_hosts=frozenset({receiver.address})).delivered


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of ``hooks.test``, signed by itself."""
    return self_signed(tmp_path_factory.mktemp("tls") / "hooks.pem", "hooks.test")


@pytest.mark.parametrize(
    ("host", "trusted", "error"),
    [
        ("hooks.test", True, None),
        ("other.test", True, "the server's certificate is not good"),
        ("hooks.test", False, "the server's certificate is not good"),
    ],
)
def test_the_certificate_must_be_of_the_name_and_of_an_authority(
    certificate: Path, names: dict[str, list[list[str]]], host: str, trusted: bool, error: str | None
) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    names[host] = [["127.0.0.1"]]
    with webhook_receiver(tls=server) as receiver:
        attempt = send(
            receiver.url(host=host, scheme="https"),
            ssl_context=ssl.create_default_context(cafile=str(certificate)) if trusted else None,
            private_hosts=frozenset({f"{host}:{receiver.port}"}),
        )
        assert len(receiver.got) == (error is None)
    assert attempt.delivered == (error is None)
    assert (attempt.error or "").startswith(error or "")


def test_one_sender_serves_many_threads(receiver: Receiver) -> None:
    sender = WebhookSender(FetchRules(max_bytes=0, private_hosts=frozenset({receiver.address})))
    threads = [threading.Thread(target=sender.send, args=(event(receiver.url()),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len({got.event_id for got in receiver.got}) == 8
