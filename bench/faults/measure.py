"""Figures of a scenario: percentiles, latencies, starts after a return, memory."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from bench.faults.books import Books
from bench.faults.load import Sent


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def spread(values: Iterable[float], digits: int = 2) -> Mapping[str, float]:
    """Median, 99th percentile and most; nothing of none."""
    found = list(values)
    if not found:
        return {}
    return {
        "p50": round(statistics.median(found), digits),
        "p99": round(percentile(found, 0.99), digits),
        "max": round(max(found), digits),
    }


def within(recovery: Mapping[str, float | int | None], name: str, limit_seconds: float) -> bool:
    """Whether a recovery time is known and within its limit; of no recovery at all too."""
    seconds = recovery[name]
    return recovery["count"] == 0 or (seconds is not None and seconds <= limit_seconds)


def statuses(requests: Iterable[Sent]) -> Mapping[str, int]:
    """How often each status was answered; ``none`` where there was no answer."""
    counted: dict[str, int] = {}
    for sent in requests:
        name = str(sent.status) if sent.status else "none"
        counted[name] = counted.get(name, 0) + 1
    return dict(sorted(counted.items()))


def first_start_after(books: Books, at: float) -> float | None:
    """Seconds from a moment to the next claim of a worker; None when there was none."""
    rows = books.patient(
        "SELECT extract(epoch FROM min(at))::float FROM job_events WHERE kind = 'claimed' AND at >= to_timestamp(%s)",
        at,
    )
    return None if rows[0][0] is None else float(rows[0][0]) - at


def longest_silence(books: Books, since: float, until: float) -> float:
    """The longest stretch without any claim, in seconds."""
    rows = books.patient(
        "SELECT extract(epoch FROM at)::float FROM job_events WHERE kind = 'claimed'"
        " AND at BETWEEN to_timestamp(%s) AND to_timestamp(%s) ORDER BY at",
        since,
        until,
    )
    moments = [since, *(float(at) for (at,) in rows), until]
    return max(later - earlier for earlier, later in pairwise(moments))


def done_twice(books: Books) -> int:
    """Segments with more than one accepted result in one run: what must never be."""
    rows = books.patient(
        "SELECT count(*) FROM (SELECT segment_id, run FROM job_events WHERE kind = 'done'"
        " GROUP BY segment_id, run HAVING count(*) > 1) AS twice"
    )
    return int(rows[0][0])


def charged(books: Books) -> int:
    """Attempts that were charged to segments."""
    return int(books.patient("SELECT coalesce(sum(attempts), 0) FROM segments")[0][0])


def runs_of_segments(books: Books) -> tuple[int, int]:
    """How many segments were claimed, and how many claims there were of them."""
    rows = books.patient("SELECT count(DISTINCT segment_id), count(*) FROM job_events WHERE kind = 'claimed'")
    return int(rows[0][0]), int(rows[0][1])
