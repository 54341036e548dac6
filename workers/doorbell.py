"""The doorbell: "there is work in this lane", told through Redis and never waited for."""

from __future__ import annotations


def queue_name(lane: str, size_class: str) -> str:
    """The Celery queue of a lane and class, e.g. ``cpu-short``."""
    return f"{lane}-{size_class}"


class Doorbell:
    """Sets a flag and returns; one thread per process looks at the queue's length and sends, coalesced.

    Redis being down, slow or frozen never shows: a lost ring is rung again by the dispatcher.
    """

    def __init__(self, redis_url: str, *, cap: int = 64) -> None:
        """``cap``: queue length from which a ring is not sent. Starts nothing until the first ring (fork-safe)."""
        raise NotImplementedError

    def ring(self, lane: str, size_class: str, count: int = 1) -> None:
        """Say that there is work; returns at once, never raises."""
        raise NotImplementedError

    def close(self, timeout_seconds: float = 2.0) -> None:
        """Try to send what is flagged, then stop the thread."""
        raise NotImplementedError
