"""No spelling, name, port or setting leads to an address that is not open to clients."""

from __future__ import annotations

import ipaddress

import pytest

from tests.fakes.http_source import Source, http_source
from tests.unit.workers.fetching.bed import KIB, fetch
from workers.fetch_url import FetchRefused, FetchRules, FetchUnreachable


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "0", "localhost", "[::1]", "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "169.254.169.254", "10.0.0.1", "100.64.0.1", "224.0.0.1",
        "[fec0::1]", "\uff11\uff12\uff17.0.0.1", "localhost.",
    ],
)  # fmt: skip
def test_no_spelling_of_a_private_address_is_fetched_from(source: Source, host: str) -> None:
    rules = FetchRules(max_bytes=KIB, ports=frozenset({source.port}))
    with pytest.raises(FetchRefused):
        fetch(rules, f"http://{host}:{source.port}/")
    assert source.requests == []


@pytest.mark.parametrize("private", ["127.0.0.1", "10.1.2.3", "::1", "64:ff9b::a00:1"])
def test_one_private_record_among_public_ones_refuses_the_name(names: dict[str, list[list[str]]], private: str) -> None:
    names["mixed.test"] = [["8.8.8.8", private, "2606:4700::1"]]
    with pytest.raises(FetchRefused, match="not public"):
        fetch(FetchRules(max_bytes=KIB), "http://mixed.test/")


def test_a_name_is_resolved_once_and_its_first_addresses_are_connected_to(names: dict[str, list[list[str]]]) -> None:
    with http_source(host="127.0.0.2") as here, http_source() as inside:
        names["rebind.test"] = [["127.0.0.2"], ["127.0.0.1"]]
        here.answer("/a", 200, b"here")
        inside.answer("/a", 200, b"inside")
        rules = FetchRules(max_bytes=KIB, private_hosts=frozenset({f"rebind.test:{here.port}"}))
        _, body = fetch(rules, here.url("/a", host="rebind.test"))
    assert body == b"here"
    assert here.requests[0][1]["Host"] == f"rebind.test:{here.port}"
    assert names["rebind.test"] == [["127.0.0.1"]]


def test_the_next_address_is_tried_when_one_does_not_answer(names: dict[str, list[list[str]]]) -> None:
    with http_source(host="127.0.0.2") as here:
        names["two.test"] = [["127.0.0.3", "127.0.0.2"]]
        here.answer("/a", 200, b"here")
        rules = FetchRules(max_bytes=KIB, private_hosts=frozenset({f"two.test:{here.port}"}))
        assert fetch(rules, here.url("/a", host="two.test"))[1] == b"here"


def test_a_trusted_name_opens_no_other_name_and_no_other_port(source: Source, rules: FetchRules) -> None:
    source.answer("/a", 200)
    with pytest.raises(FetchRefused, match="port"):
        fetch(rules, source.url("/a", host="localhost"))
    with http_source() as other, pytest.raises(FetchRefused, match="port"):
        fetch(rules, other.url("/a"))


@pytest.mark.parametrize("port", [22, 25, 5432, 6379, 8080, 9000])
def test_only_listed_ports_are_fetched_from(port: int) -> None:
    with pytest.raises(FetchRefused, match="port"):
        fetch(FetchRules(max_bytes=KIB), f"http://8.8.8.8:{port}/")


@pytest.mark.parametrize("url", ["ftp://example.com/x", "file:///etc/passwd", "http://u:p@127.0.0.1/", "//x", ""])
def test_what_is_not_a_plain_web_url_is_refused(url: str) -> None:
    with pytest.raises(FetchRefused):
        fetch(FetchRules(max_bytes=KIB), url)


def test_proxy_variables_are_not_read(source: Source, rules: FetchRules, monkeypatch: pytest.MonkeyPatch) -> None:
    source.answer("/a", 200, b"direct")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert fetch(rules, source.url("/a"))[1] == b"direct"


def test_an_unknown_name_is_told_at_once(names: dict[str, list[list[str]]]) -> None:
    names["nowhere.test"] = []
    with pytest.raises(FetchUnreachable) as caught:
        fetch(FetchRules(max_bytes=KIB), "http://nowhere.test/")
    assert not caught.value.transient


def test_closed_networks_are_refused_in_ipv6_too() -> None:
    rules = FetchRules(max_bytes=KIB, denied_networks=[ipaddress.ip_network("2606:4700::/32")])
    with pytest.raises(FetchRefused, match="not public"):
        fetch(rules, "http://[2606:4700::1]/")
