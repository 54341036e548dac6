"""One request to a URL that came from outside, without being led to places inside.

The name is resolved once, every address it has must be public, and the connection goes to one of those very
addresses under the original name. Proxy variables of the environment are not read, no cookie or credential is sent.

FetchError
├── FetchRefused        we do not go there, or the other side does not let us
├── FetchGone           the source says there is no such thing
├── FetchTooLarge       larger than the limit
└── FetchUnreachable    no answer, or not to its end; ``transient`` says whether trying again makes sense
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpcore2

from workers.addresses import Network, is_public
from workers.pinned_connection import Deadline, PinnedBackend
from workers.remote_url import RemoteUrl, UrlRefused, parse_url

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
    """We do not go there, or the other side does not let us."""

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


def resolve(url: RemoteUrl, rules: FetchRules) -> list[str]:
    """Return the addresses of a URL's host, all of them public. Raises: FetchRefused, FetchUnreachable."""
    if not rules.allows(url):
        raise FetchRefused(f"port {url.port} is not one that we connect to")
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


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent, and where to."""

    method: str
    url: RemoteUrl
    headers: Sequence[tuple[str, str]]
    body: bytes | None = None


@contextmanager
def exchange(
    request: Request, rules: FetchRules, deadline: Deadline, ssl_context: ssl.SSLContext
) -> Iterator[httpcore2.Response]:
    """Send one request on a connection of its own, to an address that was checked; yield the answer's head.

    Raises: FetchRefused, FetchUnreachable, and the HTTP library's errors: see ``network_errors``.
    """
    url = request.url
    backend = PinnedBackend(resolve(url, rules), deadline)
    timeouts = {"connect": rules.connect_seconds, "read": rules.stall_seconds, "write": rules.stall_seconds}
    origin = httpcore2.URL(
        scheme=url.scheme.encode(), host=url.host.encode(), port=url.port, target=url.target.encode()
    )
    with httpcore2.ConnectionPool(ssl_context, network_backend=backend) as pool:
        with pool.stream(
            request.method, origin, headers=list(request.headers), content=request.body,
            extensions={"timeout": timeouts},
        ) as answer:  # fmt: skip
            yield answer


@contextmanager
def network_errors() -> Iterator[None]:
    """Turn the HTTP library's errors into FetchUnreachable."""
    try:
        yield
    except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        if (fault := _certificate_fault(error)) is not None:
            raise FetchUnreachable(f"the server's certificate is not good: {fault}", transient=False) from error
        raise FetchUnreachable(f"the server does not answer as it should: {type(error).__name__}") from error


def _certificate_fault(error: BaseException | None) -> str | None:
    """What TLS found wrong with a certificate, if that lies behind an error."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        error = error.__cause__ or error.__context__
    return None


def parsed(url: str) -> RemoteUrl:
    """Take a URL apart. Raises: FetchRefused."""
    try:
        return parse_url(url)
    except UrlRefused as error:
        raise FetchRefused(str(error)) from error
