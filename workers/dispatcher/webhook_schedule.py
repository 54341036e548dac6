"""When a webhook that failed is tried again, and when it is given up: pure functions, no clock of their own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

#: seconds before the second, third, ... attempt; the last one repeats until the time is over
DELAYS_SECONDS = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0, 14_400.0)
#: how long an event is tried, counted from the job's end or from a resend
GIVE_UP_SECONDS = 72 * 3600.0
#: each delay is longer or shorter by up to this share, so that what failed together does not come back together
JITTER = 0.2
#: the longest Retry-After that is honoured
RETRY_AFTER_MAX_SECONDS = 3600.0
#: statuses that ask for patience by Retry-After
PATIENCE = frozenset({429, 503})


def next_delay(
    retries: int, age_seconds: float, jitter: float, *, retry_after: float | None = None, scale: float = 1.0
) -> float | None:
    """Return the seconds until the next attempt, or None when the event is given up.

    retries: failed attempts before the one that just failed. age_seconds: since the event was put on its way.
    jitter: a random number of 0 to 1. retry_after: what the receiver asked for. scale: of all these times.
    """
    left = GIVE_UP_SECONDS * scale - age_seconds
    if left <= 0:
        return None
    plain = DELAYS_SECONDS[min(retries, len(DELAYS_SECONDS) - 1)] * scale
    delay = plain * (1 + JITTER * (2 * jitter - 1))
    if retry_after is not None:
        delay = max(delay, min(retry_after, RETRY_AFTER_MAX_SECONDS * scale))
    # one last attempt at the very end, rather than none in the hours before it
    return min(delay, left)


def retry_after_seconds(status: int, headers: Mapping[str, str], now: datetime) -> float | None:
    """Return what a receiver asks for with ``Retry-After``, in seconds or as a date; None when it asks for nothing."""
    text = headers.get("retry-after", "").strip()
    if status not in PATIENCE or not text:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - now).total_seconds())
