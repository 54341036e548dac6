"""Group a stream into batches whose size may change on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def batched(
    items: Iterable[Item], size: Callable[[], int], *, counts: Callable[[Item], bool] = lambda item: True
) -> Iterator[list[Item]]:
    """Yield lists of items in order, each with at most ``size()`` of those that count; the last may be short.

    ``size`` is asked anew for each batch, so that a batch that was too large for the device makes all later ones
    smaller. Items that do not count (marks between frames) travel with the batch they follow.
    """
    batch: list[Item] = []
    filled = 0
    for item in items:
        if counts(item) and filled >= max(1, size()):
            yield batch
            batch, filled = [], 0
        batch.append(item)
        filled += counts(item)
    if batch:
        yield batch
