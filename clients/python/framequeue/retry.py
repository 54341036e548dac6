"""When to try again, and after how long: pure decisions, no clock, no network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

#: answers that another try may change
RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
#: of those, the ones that say for certain that nothing was done: also for calls that must not happen twice
UNTOUCHED_STATUSES = frozenset({429, 503})

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 8.0
#: a server that asks for more than this is not waited for
LONGEST_RETRY_AFTER_SECONDS = 60.0


def retry_after_seconds(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Read ``Retry-After``: seconds or an HTTP date; None when it is absent or makes no sense."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())


def delay_seconds(attempt: int, asked: float | None, chance: Callable[[], float]) -> float:
    """Return how long to wait before try ``attempt + 1`` (attempt counts from 1).

    What the server asked for wins; a little is added to it so that a crowd does not come back at once.
    """
    if asked is not None:
        return asked + 0.25 * chance()
    longest = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** (attempt - 1))
    return longest * (0.5 + 0.5 * chance())


def may_retry_status(status: int, *, repeatable: bool, asked: float | None) -> bool:
    """Whether an answer is worth another try. ``repeatable``: the call may safely happen twice."""
    if asked is not None and asked > LONGEST_RETRY_AFTER_SECONDS:
        return False
    return status in (RETRIED_STATUSES if repeatable else UNTOUCHED_STATUSES)
