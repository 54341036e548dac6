"""Fetching a client's URL: what comes, what each status means, and how long it may take."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler

import pytest

from tests.fakes.dead_ports import nobody
from tests.fakes.http_source import Source
from tests.unit.workers.fetching.bed import KIB, fetch
from workers.fetch_url import FetchGone, FetchRefused, FetchRules, FetchTooLarge, FetchUnreachable, UrlFetcher


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


def test_a_host_that_is_not_there_may_come_back() -> None:
    with nobody() as port:
        rules = FetchRules(max_bytes=KIB, private_hosts=frozenset({f"127.0.0.1:{port}"}))
        with pytest.raises(FetchUnreachable) as caught:
            fetch(rules, f"http://127.0.0.1:{port}/")
    assert caught.value.transient


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
