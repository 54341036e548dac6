"""Where a job's webhooks may go, as far as that can be said before they are sent."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

CHARACTERS_MAX = 2000

#: parsers disagree about white space, control characters and the backslash, and so might sender and receiver
_DISPUTED = re.compile(r"[\x00-\x20\x7f\\]")


def check_webhook_url(url: str) -> str:
    """Return the URL. Whether its host is a public one is found out when something is sent. Raises: ValueError."""
    if not url.isascii() or _DISPUTED.search(url):
        raise ValueError("must be a URL in ASCII without spaces; percent-encode the rest")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise ValueError("must be an absolute http(s) URL")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or password")
    return url
