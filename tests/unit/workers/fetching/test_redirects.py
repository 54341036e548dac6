"""Redirects are followed a few times, and checked like the first URL."""

from __future__ import annotations

import pytest

from tests.fakes.http_source import Source
from tests.unit.workers.fetching.bed import fetch
from workers.fetch_url import FetchRefused, FetchRules


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
