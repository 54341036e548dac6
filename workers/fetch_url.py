"""Fetching a URL that came from outside: see ``workers.remote_request`` for where we go and where not.

Redirects are followed by hand, each checked like the first; nothing is decompressed; size and speed are watched.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BufferedReader
from urllib.parse import unquote, urljoin, urlsplit

import httpcore2

from storage.objects.streams import pulled
from workers.pinned_connection import Deadline
from workers.remote_request import (
    REQUEST_HEADERS,
    FetchError,
    FetchGone,
    FetchRefused,
    FetchRules,
    FetchTooLarge,
    FetchUnreachable,
    Request,
    exchange,
    network_errors,
    parsed,
)
from workers.remote_url import RemoteUrl

__all__ = [
    "FetchError",
    "FetchGone",
    "FetchRefused",
    "FetchRules",
    "FetchTooLarge",
    "FetchUnreachable",
    "Fetched",
    "UrlFetcher",
]

REDIRECTS = frozenset({301, 302, 303, 307, 308})
GONE = frozenset({404, 410})
#: the source asks for patience, or is broken for now
TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504, 509, 520, 521, 522, 523, 524})


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer whose body has yet to be read; reading raises FetchTooLarge and FetchUnreachable."""

    body: BufferedReader
    size_bytes: int | None
    content_type: str | None
    filename: str | None


class UrlFetcher:
    """Opens URLs under one set of rules; safe to use from many threads."""

    def __init__(self, rules: FetchRules, *, ssl_context: ssl.SSLContext | None = None) -> None:
        """``ssl_context``: what certificates are checked against; None for the system's authorities."""
        self.rules = rules
        self._ssl_context = ssl_context or httpcore2.default_ssl_context()

    @contextmanager
    def open(self, url: str) -> Iterator[Fetched]:
        """Send a GET, follow at most ``max_redirects``, and yield the answer. Raises: FetchError."""
        deadline = Deadline(self.rules.head_seconds)
        with ExitStack() as hops, network_errors():
            current = parsed(url)
            for _ in range(self.rules.max_redirects + 1):
                answer = hops.enter_context(self._get(current, deadline))
                headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
                if answer.status not in REDIRECTS:
                    yield self._accepted(current, answer, headers, deadline)
                    return
                current = _redirected(current, headers.get("location"))
                hops.pop_all().close()
            raise FetchRefused(f"the source redirects more than {self.rules.max_redirects} times")

    @contextmanager
    def _get(self, url: RemoteUrl, deadline: Deadline) -> Iterator[httpcore2.Response]:
        """One request on a connection of its own, to an address that was checked."""
        headers = [("Host", url.authority), *REQUEST_HEADERS]
        request = Request("GET", url, headers)
        with exchange(request, self.rules, deadline, self._ssl_context) as answer:
            yield answer

    def _accepted(
        self, url: RemoteUrl, answer: httpcore2.Response, headers: Mapping[str, str], deadline: Deadline
    ) -> Fetched:
        """Judge the answer's head. Raises: FetchError."""
        _check_status(answer.status)
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise FetchRefused("the source sends a compressed answer although none was asked for")
        length = headers.get("content-length", "")
        size = int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None
        if size is not None and size > self.rules.max_bytes:
            raise FetchTooLarge(f"the source has {size} bytes, the limit is {self.rules.max_bytes}")
        deadline.extend(self.rules.total_seconds)
        reader = _BodyReader(answer, self.rules)
        return Fetched(pulled(reader.pull), size, headers.get("content-type"), _filename(url))


class _BodyReader:
    """Gives a body in pieces and watches size and speed."""

    def __init__(self, answer: httpcore2.Response, rules: FetchRules) -> None:
        self._pieces = answer.iter_stream()
        self._rules = rules
        self._started = time.monotonic()
        self._left = memoryview(b"")
        self._total = 0

    def pull(self, size: int) -> bytes:
        """Return at most ``size`` bytes, nothing at the end. Raises: FetchTooLarge, FetchUnreachable."""
        while not self._left:
            with network_errors():
                piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._count(len(piece))
            self._left = memoryview(piece)
        piece, self._left = bytes(self._left[:size]), self._left[size:]
        return piece

    def _count(self, size: int) -> None:
        self._total += size
        if self._total > self._rules.max_bytes:
            raise FetchTooLarge(f"the source has more than {self._rules.max_bytes} bytes")
        seconds = time.monotonic() - self._started
        if seconds > self._rules.slow_start_seconds and self._total < seconds * self._rules.min_bytes_per_second:
            raise FetchUnreachable(f"the source sends less than {self._rules.min_bytes_per_second} bytes a second")


def _redirected(url: RemoteUrl, location: str | None) -> RemoteUrl:
    if not location:
        raise FetchRefused("the source redirects to nowhere")
    target = parsed(urljoin(str(url), location))
    if url.scheme == "https" and target.scheme == "http":
        raise FetchRefused("the source redirects from https to http")
    return target


def _check_status(status: int) -> None:
    if status == 200:
        return
    if status in GONE:
        raise FetchGone(f"the source answers {status}")
    if status in TRY_AGAIN:
        raise FetchUnreachable(f"the source answers {status}")
    raise FetchRefused(f"the source answers {status}")


def _filename(url: RemoteUrl) -> str | None:
    """The last word of the path, as a name to show; never a path of ours."""
    name = unquote(urlsplit(url.target).path).rpartition("/")[2]
    return name[:200] or None
