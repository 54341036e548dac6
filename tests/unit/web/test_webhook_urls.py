"""Which webhook URLs an order may name."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from web.orders import Order
from web.submit import fingerprint


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/hook?x=1", "http://10.0.0.1:8080/", "https://[2606:4700::1]/", "HTTPS://Example.ORG",
        "https://xn--bcher-kva.example/a%20b", "https://a_b.example/", "https://example.org:443/#part",
    ],
)  # fmt: skip
def test_a_plain_url_is_taken(url: str) -> None:
    assert Order(pipeline="motion", webhook_url=url).webhook_url == url


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/", "//example.org/", "/hook", "", "https://", "https://u:p@example.org/",
        "https://@example.org/", "https://example.org:99999/", "https://example.org:0/",
        "https://b\u00fccher.example/", "https://example.org/a b", "https://example.org/\\evil", "https://-x-/",
        "https://example.org/\x00", "https://[::1/", "javascript:alert(1)", "https://example.org:port/",
        "https://exa mple.org/", "https://[fe80::1%25eth0]/", "https://example..org/",
        "https://example.org/" + "a" * 2000,
    ],
)  # fmt: skip
def test_what_is_not_a_plain_url_is_refused_at_submission(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Order(pipeline="motion", webhook_url=url)
    assert caught.value.errors()[0]["loc"] == ("webhook_url",)


def test_the_webhook_url_is_part_of_what_makes_two_requests_the_same() -> None:
    plain, one, two = (Order(pipeline="motion", webhook_url=url) for url in (None, "http://a.test/", "http://b.test/"))
    assert len({fingerprint("sha256:1", order, {}) for order in (plain, one, two)}) == 3
