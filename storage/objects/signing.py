"""Signed, expiring URLs of the local object store: what a presigned URL is to S3.

A signature covers the method and everything the URL grants, so that no field can be changed or moved to
another URL. The web part serves them below ``/objects/``; see ``SignedUrls.verify``.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from storage.errors import Refused

#: a shorter HMAC key could be guessed offline from one URL
SECRET_MIN_BYTES = 32


class BadSignature(Refused):
    """The URL was not signed by us, or not for this."""

    code = "signature.invalid"


class SignatureExpired(BadSignature):
    """The URL was good once."""

    code = "signature.expired"


@dataclass(frozen=True, slots=True)
class ReadGrant:
    """The right to read one object, as a download named ``filename``."""

    key: str
    filename: str | None


@dataclass(frozen=True, slots=True)
class PartGrant:
    """The right to write one part of exactly ``size_bytes`` bytes."""

    key: str
    multipart_id: str
    number: int
    size_bytes: int


Grant = ReadGrant | PartGrant


class SignedUrls:
    """Makes and checks URLs below ``<public_url>/objects/``."""

    def __init__(self, secret: str | bytes, public_url: str, *, clock: Callable[[], float] = time.time) -> None:
        """``secret``: at least 32 bytes; ``clock``: seconds since the epoch. Raises: ValueError."""
        self._secret = secret.encode() if isinstance(secret, str) else secret
        if len(self._secret) < SECRET_MIN_BYTES:
            raise ValueError(f"the secret of signed URLs must have at least {SECRET_MIN_BYTES} bytes")
        self._base = public_url.rstrip("/") + "/objects/"
        self._clock = clock

    def sign_get(self, key: str, *, expires_seconds: int, filename: str | None = None) -> str:
        """Return a URL that answers GET and HEAD for ``key`` until it expires."""
        return self._url(ReadGrant(key, filename), expires_seconds)

    def sign_part(self, key: str, multipart_id: str, number: int, *, size_bytes: int, expires_seconds: int) -> str:
        """Return a URL that takes one PUT body of exactly ``size_bytes`` bytes until it expires."""
        return self._url(PartGrant(key, multipart_id, number, size_bytes), expires_seconds)

    def verify(self, method: str, path: str, query: Mapping[str, str]) -> Grant:
        """Return what a request may do.

        ``path`` is what the route ``/objects/<path:path>`` caught, percent-decoded; ``query`` its decoded parameters.
        Raises: BadSignature, SignatureExpired.
        """
        grant = _grant_of(method, path, query)
        expires_at = _number(query, "expires")
        expected = self._signature(grant, expires_at)
        if not hmac.compare_digest(expected.encode(), query.get("signature", "").encode("utf-8", "replace")):
            raise BadSignature("the signature of this URL is wrong")
        if self._clock() >= expires_at:
            raise SignatureExpired("this URL has expired; ask for a new one")
        return grant

    def _url(self, grant: Grant, expires_seconds: int) -> str:
        expires_at = int(self._clock()) + expires_seconds
        query = _fields(grant) | {"expires": str(expires_at), "signature": self._signature(grant, expires_at)}
        return f"{self._base}{quote(grant.key)}?{urlencode(query)}"

    def _signature(self, grant: Grant, expires_at: int) -> str:
        method = "PUT" if isinstance(grant, PartGrant) else "GET"
        # JSON keeps the fields apart, whatever characters a file name holds
        signed = json.dumps(["framequeue-url-1", method, grant.key, expires_at, _fields(grant)], sort_keys=True)
        return hmac.new(self._secret, signed.encode(), hashlib.sha256).hexdigest()


def _fields(grant: Grant) -> dict[str, str]:
    """The query parameters that say what is granted."""
    if isinstance(grant, PartGrant):
        return {"upload": grant.multipart_id, "part": str(grant.number), "size": str(grant.size_bytes)}
    return {} if grant.filename is None else {"filename": grant.filename}


def _grant_of(method: str, path: str, query: Mapping[str, str]) -> Grant:
    """What the request claims to be granted, yet unproven."""
    if method in {"GET", "HEAD"}:
        return ReadGrant(path, query.get("filename"))
    if method == "PUT":
        return PartGrant(path, query.get("upload", ""), _number(query, "part"), _number(query, "size"))
    raise BadSignature(f"no signed URL answers {method}")


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "")
    # more digits than any honest value: int() would take time quadratic in them
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise BadSignature(f"the signed URL lacks a valid {name}")
    return int(text)
