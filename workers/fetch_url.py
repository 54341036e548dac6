"""Fetching a URL that came from outside, without being led to places inside.

The name is resolved once, every address it has must be public, and the connection goes to one of those very
addresses under the original name. Redirects are followed by hand, each checked like the first. Proxy variables
of the environment are not read, nothing is decompressed, no cookie or credential is sent.

FetchError
├── FetchRefused        we do not go there, or the source does not let us
├── FetchGone           the source says there is no such thing
├── FetchTooLarge       larger than the limit
└── FetchUnreachable    no answer, or not to its end; ``transient`` says whether trying again makes sense
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BufferedReader
from urllib.parse import unquote, urljoin, urlsplit

import httpcore2

from storage.objects.streams import pulled
from workers.addresses import Network, is_public
from workers.pinned_connection import Deadline, PinnedBackend
from workers.remote_url import RemoteUrl, UrlRefused, parse_url

REDIRECTS = frozenset({301, 302, 303, 307, 308})
GONE = frozenset({404, 410})
#: the source asks for patience, or is broken for now
TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504, 509, 520, 521, 522, 523, 524})
#: names that do not exist; every other fault of the resolver may pass
NO_SUCH_NAME = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})

#: nothing that tells who we are inside, and no compression: a small answer must not unpack to a large input
REQUEST_HEADERS = (
    ("User-Agent", "framequeue"),
    ("Accept", "*/*"),
    ("Accept-Encoding", "identity"),
    ("Connection", "close"),
)


class FetchError(Exception):
    """Root of the tree; never raised itself."""

    code = "input.unreachable"
    transient = False


class FetchRefused(FetchError):
    """We do not go there, or the source does not let us."""

    code = "input.refused"


class FetchGone(FetchError):
    """The source says there is no such thing."""

    code = "input.gone"


class FetchTooLarge(FetchError):
    """Larger than the limit."""

    code = "media.too_large"


class FetchUnreachable(FetchError):
    """No answer, or not to its end."""

    def __init__(self, message: str, *, transient: bool = True) -> None:
        super().__init__(message)
        self.transient = transient


@dataclass(frozen=True, slots=True)
class FetchRules:
    """Where we go and how long we stay."""

    max_bytes: int
    ports: frozenset[int] = frozenset({80, 443})
    #: hosts that may have private addresses: ``name`` on the ports above, or ``name:port`` on that port alone
    private_hosts: frozenset[str] = frozenset()
    #: public networks that are closed all the same
    denied_networks: Sequence[Network] = ()
    max_redirects: int = 3
    connect_seconds: float = 5.0
    #: to the end of the answer's head
    head_seconds: float = 20.0
    #: longest silence within the body
    stall_seconds: float = 20.0
    total_seconds: float = 3600.0
    #: slowest average that is waited for, measured after ``slow_start_seconds``
    min_bytes_per_second: int = 4096
    slow_start_seconds: float = 30.0

    def allows(self, url: RemoteUrl) -> bool:
        """Whether the port is open to us."""
        return url.port in self.ports or f"{url.host}:{url.port}" in self.private_hosts

    def trusts(self, url: RemoteUrl) -> bool:
        """Whether this host may have a private address."""
        return not self.private_hosts.isdisjoint({url.host, f"{url.host}:{url.port}"})


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer whose body has yet to be read; reading raises FetchTooLarge and FetchUnreachable."""

    body: BufferedReader
    size_bytes: int | None
    content_type: str | None
    filename: str | None


def resolve(url: RemoteUrl, rules: FetchRules) -> list[str]:
    """Return the addresses of a URL's host, all of them public. Raises: FetchRefused, FetchUnreachable."""
    if not rules.allows(url):
        raise FetchRefused(f"port {url.port} is not one that inputs are fetched from")
    try:
        found = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise FetchUnreachable(
            f"the name {url.host} cannot be resolved", transient=error.errno not in NO_SUCH_NAME
        ) from error
    except UnicodeError as error:
        raise FetchRefused("the URL names no valid host") from error
    addresses = list(dict.fromkeys(str(item[4][0]) for item in found))
    if not rules.trusts(url):
        # one private record among public ones is how rebinding starts: all must pass
        for address in addresses:
            if not is_public(ipaddress.ip_address(address), rules.denied_networks):
                raise FetchRefused(f"{url.host} leads to an address that is not public")
    return addresses


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
        with ExitStack() as hops, _network_errors():
            current = _parsed(url)
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
        backend = PinnedBackend(resolve(url, self.rules), deadline)
        rules = self.rules
        timeouts = {"connect": rules.connect_seconds, "read": rules.stall_seconds, "write": rules.stall_seconds}
        origin = httpcore2.URL(
            scheme=url.scheme.encode(), host=url.host.encode(), port=url.port, target=url.target.encode()
        )
        headers = [("Host", url.authority), *REQUEST_HEADERS]
        with httpcore2.ConnectionPool(self._ssl_context, network_backend=backend) as pool:
            with pool.stream("GET", origin, headers=headers, extensions={"timeout": timeouts}) as answer:
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
            with _network_errors():
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


@contextmanager
def _network_errors() -> Iterator[None]:
    """Turn the HTTP library's errors into ours."""
    try:
        yield
    except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        if (fault := _certificate_fault(error)) is not None:
            raise FetchUnreachable(f"the source's certificate is not good: {fault}", transient=False) from error
        raise FetchUnreachable(f"the source does not answer as it should: {type(error).__name__}") from error


def _certificate_fault(error: BaseException | None) -> str | None:
    """What TLS found wrong with a certificate, if that lies behind an error."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        error = error.__cause__ or error.__context__
    return None


def _parsed(url: str) -> RemoteUrl:
    try:
        return parse_url(url)
    except UrlRefused as error:
        raise FetchRefused(str(error)) from error


def _redirected(url: RemoteUrl, location: str | None) -> RemoteUrl:
    if not location:
        raise FetchRefused("the source redirects to nowhere")
    target = _parsed(urljoin(str(url), location))
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
