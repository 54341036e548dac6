"""Where a job's webhooks may go, as far as that can be said before they are sent."""

from __future__ import annotations

from workers.remote_url import parse_url

CHARACTERS_MAX = 2000


def check_webhook_url(url: str) -> str:
    """Return the URL. Whether its host is a public one is found out when something is sent. Raises: ValueError."""
    if not url.isascii():
        raise ValueError("must be ASCII: percent-encode the path, and write the host in punycode")
    parse_url(url)
    return url
