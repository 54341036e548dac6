"""What a list of step times says: walks, cadence, steps a minute, and how even they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

#: a list in a summary holds at most so many
MAX_TIMES = 10_000
MAX_ENTRIES = 1_000
MINUTE = 60.0
#: a step is even if its interval is this near to the median of those around it, as a share
_EVEN = 0.25
_NEIGHBOURS = 4


def walks_of(times: Sequence[float], max_interval: float) -> list[dict[str, float]]:
    """Return the stretches of steps no further apart than ``max_interval`` seconds.

    [{"from_seconds", "to_seconds", "steps", "cadence"}]: first and last step, and steps a minute between the two; a
    walk of one step, which a gap left over, has no cadence and is left out.
    """
    walks: list[dict[str, float]] = []
    first = 0
    for place in range(1, len(times) + 1):
        if place < len(times) and times[place] - times[place - 1] <= max_interval:
            continue
        start, end, steps = times[first], times[place - 1], place - first
        if steps > 1:
            cadence = round(MINUTE * (steps - 1) / (end - start), 2)
            walks.append(
                {"from_seconds": round(start, 3), "to_seconds": round(end, 3), "steps": steps, "cadence": cadence}
            )
        first = place
    return walks


def cadence_of(walks: Sequence[Mapping[str, float]]) -> float | None:
    """Return steps a minute while walking, over all walks; None without any."""
    seconds = sum(walk["to_seconds"] - walk["from_seconds"] for walk in walks)
    return round(MINUTE * sum(walk["steps"] - 1 for walk in walks) / seconds, 2) if seconds > 0 else None


def per_minute(times: Sequence[float], duration_seconds: float) -> dict[str, Any]:
    """Return the curve: {"bin_seconds": 60, "points": [{"seconds", "counts": {"steps"}, "covers_seconds"}]}.

    A point for each minute of the recording, those without steps too; the last one covers what is left.
    """
    counts = [0] * max(1, int(-(-duration_seconds // MINUTE)))
    for time in times:
        counts[min(int(time // MINUTE), len(counts) - 1)] += 1
    points = [
        {
            "seconds": MINUTE * number,
            "counts": {"steps": count},
            "covers_seconds": round(min(MINUTE, duration_seconds - MINUTE * number), 3),
        }
        for number, count in enumerate(counts)
    ]
    return {"bin_seconds": MINUTE, "points": points}


def regularity_of(times: Sequence[float], max_interval: float) -> float | None:
    """Return the share of intervals within 25 % of the median of the four before and after; None under 8 intervals.

    Walking is even: a low share says that something else was counted, or that steps were missed.
    """
    apart = [b - a for a, b in pairwise(times) if b - a <= max_interval]
    if len(apart) < 2 * _NEIGHBOURS:
        return None
    even = 0
    for place, interval in enumerate(apart):
        middle = median(apart[max(0, place - _NEIGHBOURS) : place + _NEIGHBOURS + 1])
        even += abs(interval - middle) <= _EVEN * middle
    return round(even / len(apart), 4)
