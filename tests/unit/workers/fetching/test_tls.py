"""Over TLS the original host is named and its certificate checked."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.certificate import self_signed
from tests.fakes.http_source import Source, http_source
from tests.unit.workers.fetching.bed import KIB
from workers.fetch_url import FetchRefused, FetchRules, FetchUnreachable, UrlFetcher


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of ``files.test``, signed by itself."""
    return self_signed(tmp_path_factory.mktemp("tls") / "files.pem", "files.test")


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
