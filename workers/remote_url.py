"""Taking a client's URL apart, once, strictly: what is checked here is what is connected to."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urlsplit

MAX_CHARACTERS = 4096
DEFAULT_PORTS = {"http": 80, "https": 443}

_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
#: white space, control characters and the backslash: parsers disagree about them
_DISPUTED = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
_PATH_SAFE = "%/:;=@!$&'()*+,~"


class UrlRefused(ValueError):
    """Not a URL we go to; the message says why."""


@dataclass(frozen=True, slots=True)
class RemoteUrl:
    """An http or https URL in parts that need no parsing any more."""

    scheme: str
    #: lower-case ASCII name without a final dot, or an address without brackets
    host: str
    port: int
    #: path and query, percent-encoded
    target: str

    @property
    def authority(self) -> str:
        """What goes into the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        """The whole URL."""
        return f"{self.scheme}://{self.authority}{self.target}"


def parse_url(text: str) -> RemoteUrl:
    """Return the parts of an absolute URL. Raises: UrlRefused."""
    if len(text) > MAX_CHARACTERS or _DISPUTED.search(text):
        raise UrlRefused("the URL is too long, or holds spaces or control characters")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise UrlRefused("this is not a URL") from error
    if parts.scheme not in DEFAULT_PORTS:
        raise UrlRefused("only http and https URLs are taken")
    if "@" in parts.netloc:
        raise UrlRefused("a URL must not carry a user name or password; use a signed URL instead")
    if port == 0:
        raise UrlRefused("0 is not a port")
    return RemoteUrl(parts.scheme, _host(parts), port or DEFAULT_PORTS[parts.scheme], _target(parts))


def _host(parts: SplitResult) -> str:
    host = (parts.hostname or "").lower().removesuffix(".")
    if ":" in host:
        try:
            address = ipaddress.IPv6Address(host)
        except ValueError as error:
            raise UrlRefused("the URL names no valid host") from error
        if address.scope_id is not None:
            raise UrlRefused("an address with a zone is local to one machine")
        return address.compressed
    try:
        name = host.encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise UrlRefused("the URL names no valid host") from error
    if _HOST_NAME.fullmatch(name) is None or "[" in parts.netloc:
        raise UrlRefused("the URL names no valid host")
    return name


def _target(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe=_PATH_SAFE)
    return f"{path}?{quote(parts.query, safe=_PATH_SAFE + '?')}" if parts.query else path
