"""What requests with a body share: their idempotency key, and the rest of a body nobody wants."""

from __future__ import annotations

import re
import time
from typing import Protocol

import structlog
from flask import request

from web.errors import Problem

log = structlog.get_logger(__name__)

_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
#: of a refused body, so much is still read: a client that only sends would else never see the answer
DRAIN_BYTES_MAX = 8 * 1024**2
DRAIN_SECONDS_MAX = 2.0


class Readable(Protocol):
    """A body."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, nothing at the end."""


def idempotency_key() -> str | None:
    """Return the key of the current request. Raises: Problem with code idempotency.invalid."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise Problem("idempotency.invalid", "an Idempotency-Key has 1 to 255 visible ASCII characters")
    return key


def drain(stream: Readable) -> None:
    """Read on for a while and throw it away."""
    left = DRAIN_BYTES_MAX
    deadline = time.monotonic() + DRAIN_SECONDS_MAX
    try:
        while left > 0 and time.monotonic() < deadline and (piece := stream.read(64 * 1024)):
            left -= len(piece)
    except Exception as error:  # noqa: BLE001 - the answer is decided; how the rest of the body ends changes nothing
        log.debug("submit.drain", reason=repr(error))
