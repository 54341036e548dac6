"""Fetching a client's URL: what is fetched, what is refused, and that no trick leads inside."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.fakes.http_source import Source, http_source
from workers.fetch_url import (
    Fetched,
    FetchGone,
    FetchRefused,
    FetchRules,
    FetchTooLarge,
    FetchUnreachable,
    UrlFetcher,
)

KIB = 1024


@pytest.fixture
def source() -> Iterator[Source]:
    with http_source() as running:
        yield running


@pytest.fixture
def rules(source: Source) -> FetchRules:
    return FetchRules(max_bytes=1000 * KIB, private_hosts=frozenset({f"127.0.0.1:{source.port}"}))


def fetch(rules: FetchRules, url: str) -> tuple[Fetched, bytes]:
    with UrlFetcher(rules).open(url) as fetched:
        return fetched, fetched.body.read()


def test_a_body_comes_with_what_the_source_says_of_it(source: Source, rules: FetchRules) -> None:
    source.answer("/clips/a%20b.mp4?token=1", 200, b"x" * 300_000, Content_Type="video/mp4")
    fetched, body = fetch(rules, source.url("/clips/a%20b.mp4?token=1"))
    assert body == b"x" * 300_000
    assert (fetched.size_bytes, fetched.content_type, fetched.filename) == (300_000, "video/mp4", "a b.mp4")


def test_the_request_tells_nothing_of_us_and_asks_for_plain_bytes(source: Source, rules: FetchRules) -> None:
    source.answer("/a", 200)
    fetch(rules, source.url("/a"))
    ((path, headers, _),) = source.requests
    assert path == "/a"
    assert headers == {
        "Host": f"127.0.0.1:{source.port}",
        "User-Agent": "framequeue",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }


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


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """Names and, for each time they are asked for, their addresses; the last answer stays."""
    answers: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def resolver(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in answers:
            return real(host, port, *args, **kwargs)
        addresses = answers[host].pop(0) if answers[host] else []
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [item for address in addresses for item in real(address, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    return answers


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


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_to_an_allowed_place(source: Source, rules: FetchRules, status: int) -> None:
    source.answer("/old", status, Location="/new.mp4")
    source.answer("/new.mp4", 200, b"moved")
    fetched, body = fetch(rules, source.url("/old"))
    assert (body, fetched.filename) == (b"moved", "new.mp4")


def test_three_redirects_are_followed_and_a_fourth_is_not(source: Source, rules: FetchRules) -> None:
    for hop in range(4):
        source.answer(f"/{hop}", 302, Location=f"/{hop + 1}")
    source.answer("/4", 200, b"far")
    assert fetch(rules, source.url("/1"))[1] == b"far"
    with pytest.raises(FetchRefused, match="more than 3"):
        fetch(rules, source.url("/0"))


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:22/", "http://localhost/", "http://[::1]/",
        "file:///etc/passwd", "ftp://8.8.8.8/", "http://u:p@8.8.8.8/", "http://8.8.8.8:6379/", "//10.0.0.1/", "",
        "http://0x7f.1/", "http://[::ffff:10.0.0.1]/",
    ],
)  # fmt: skip
def test_a_redirect_is_checked_like_the_first_url(source: Source, rules: FetchRules, location: str) -> None:
    source.answer("/away", 302, Location=location)
    with pytest.raises(FetchRefused):
        fetch(rules, source.url("/away"))
    assert len(source.requests) == 1


@pytest.mark.parametrize(
    ("status", "error", "transient"),
    [
        (404, FetchGone, False), (410, FetchGone, False),
        (400, FetchRefused, False), (401, FetchRefused, False), (403, FetchRefused, False), (204, FetchRefused, False),
        (206, FetchRefused, False), (300, FetchRefused, False), (304, FetchRefused, False), (451, FetchRefused, False),
        (408, FetchUnreachable, True), (429, FetchUnreachable, True), (500, FetchUnreachable, True),
        (502, FetchUnreachable, True), (503, FetchUnreachable, True), (504, FetchUnreachable, True),
    ],
)  # fmt: skip
def test_each_status_has_its_error(
    source: Source, rules: FetchRules, status: int, error: type[Exception], transient: bool
) -> None:
    source.answer("/a", status)
    with pytest.raises(error) as caught:
        fetch(rules, source.url("/a"))
    assert caught.value.transient is transient  # type: ignore[attr-defined]


def test_a_declared_size_over_the_limit_is_refused_before_the_body(source: Source, rules: FetchRules) -> None:
    source.answer("/a", 200, b"", Content_Length=str(1000 * KIB + 1))
    with pytest.raises(FetchTooLarge), UrlFetcher(rules).open(source.url("/a")):
        pytest.fail("opened")


def test_a_body_without_a_size_is_cut_off_at_the_limit(source: Source, rules: FetchRules) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not source.stopped.is_set():
            handler.wfile.write(b"x" * 64 * KIB)

    source.routes["/endless"] = endless
    with UrlFetcher(rules).open(source.url("/endless")) as fetched:
        with pytest.raises(FetchTooLarge):
            fetched.body.read()


def test_a_compressed_answer_is_refused(source: Source, rules: FetchRules) -> None:
    source.answer("/a", 200, b"\x1f\x8b", Content_Encoding="gzip")
    with pytest.raises(FetchRefused, match="compressed"):
        fetch(rules, source.url("/a"))


def drip(source: Source, head: bytes, piece: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """Send a head, then a piece every 50 ms until the test ends."""

    def handle(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(head)
        while not source.stopped.wait(0.05):
            handler.wfile.write(piece)

    return handle


OPEN_END = b"HTTP/1.0 200 OK\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "piece", "limits"),
    [
        (b"", b"", {"stall_seconds": 0.3}),
        (b"HTTP/1.0 200 OK\r\n", b"x: y\r\n", {"head_seconds": 0.4}),
        (OPEN_END, b"", {"stall_seconds": 0.3}),
        (OPEN_END, b"x", {"total_seconds": 0.4}),
        (OPEN_END, b"x", {"slow_start_seconds": 0.3, "min_bytes_per_second": KIB}),
    ],
    ids=["silence", "head for ever", "silent body", "body for ever", "body too slow"],
)
def test_a_source_that_holds_us_up_is_left(
    source: Source, rules: FetchRules, head: bytes, piece: bytes, limits: dict[str, float]
) -> None:
    source.routes["/slow"] = drip(source, head, piece)
    with pytest.raises(FetchUnreachable) as caught:
        fetch(replace(rules, **limits), source.url("/slow"))  # type: ignore[arg-type]
    assert caught.value.transient


def test_a_body_that_ends_early_is_no_body(source: Source, rules: FetchRules) -> None:
    source.answer("/short", 200, b"half", Content_Length="8")
    with UrlFetcher(rules).open(source.url("/short")) as fetched:
        with pytest.raises(FetchUnreachable):
            fetched.body.read()


def test_a_host_that_is_not_there_may_come_back_but_a_name_that_does_not_exist_will_not() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    rules = FetchRules(max_bytes=KIB, private_hosts=frozenset({f"127.0.0.1:{port}"}))
    with pytest.raises(FetchUnreachable) as caught:
        fetch(rules, f"http://127.0.0.1:{port}/")
    assert caught.value.transient


def test_an_unknown_name_is_told_at_once(names: dict[str, list[list[str]]]) -> None:
    names["nowhere.test"] = []
    with pytest.raises(FetchUnreachable) as caught:
        fetch(FetchRules(max_bytes=KIB), "http://nowhere.test/")
    assert not caught.value.transient


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of ``files.test``, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "files.test")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("files.test")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "files.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + built.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def secure(certificate: Path, names: dict[str, list[list[str]]]) -> Iterator[Source]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with http_source(tls=context) as running:
        names["files.test"] = [["127.0.0.1"]]
        names["other.test"] = [["127.0.0.1"]]
        yield running


def secure_fetcher(secure: Source, certificate: Path) -> UrlFetcher:
    hosts = frozenset(f"{name}:{secure.port}" for name in ("files.test", "other.test"))
    rules = FetchRules(max_bytes=KIB, private_hosts=hosts)
    return UrlFetcher(rules, ssl_context=ssl.create_default_context(cafile=str(certificate)))


def test_tls_names_and_checks_the_original_host(secure: Source, certificate: Path) -> None:
    secure.answer("/a", 200, b"over tls")
    url = secure.url("/a", host="files.test", scheme="https")
    with secure_fetcher(secure, certificate).open(url) as fetched:
        assert fetched.body.read() == b"over tls"
    assert secure.server_names == ["files.test"]


def test_a_certificate_of_another_name_is_not_accepted(secure: Source, certificate: Path) -> None:
    url = secure.url("/a", host="other.test", scheme="https")
    with pytest.raises(FetchUnreachable, match="certificate") as caught:
        with secure_fetcher(secure, certificate).open(url):
            pytest.fail("opened")
    assert not caught.value.transient
    assert secure.requests == []


def test_a_redirect_from_https_to_http_is_refused(secure: Source, certificate: Path) -> None:
    secure.answer("/a", 302, Location="http://8.8.8.8/")
    with pytest.raises(FetchRefused, match="https to http"):
        with secure_fetcher(secure, certificate).open(secure.url("/a", host="files.test", scheme="https")):
            pytest.fail("opened")


def test_one_fetcher_serves_many_threads(source: Source, rules: FetchRules) -> None:
    source.answer("/a", 200, b"x" * 50_000)
    fetcher, bodies = UrlFetcher(rules), []

    def one() -> None:
        with fetcher.open(source.url("/a")) as fetched:
            bodies.append(fetched.body.read())

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert bodies == [b"x" * 50_000] * 8


def test_closed_networks_are_refused_in_ipv6_too() -> None:
    rules = FetchRules(max_bytes=KIB, denied_networks=[ipaddress.ip_network("2606:4700::/32")])
    with pytest.raises(FetchRefused, match="not public"):
        fetch(rules, "http://[2606:4700::1]/")
