"""Hints to waiting clients: "this job has changed", through a capped Redis stream; losing one costs a slow re-check."""

from __future__ import annotations


class Hints:
    """Publishing side (``tell``, never blocks, never raises) and waiting side (``wait``), one thread per process each."""

    def __init__(self, redis_url: str, *, stream: str = "fq:hints", max_length: int = 10_000) -> None:
        """Starts nothing until first use (fork-safe)."""
        raise NotImplementedError

    def tell(self, job_id: str) -> None:
        """Say that a job's row has changed."""
        raise NotImplementedError

    def wait(self, job_id: str, timeout_seconds: float) -> bool:
        """Block until a hint for the job comes or the time is over; True for a hint."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop both threads; wake all waiters."""
        raise NotImplementedError
