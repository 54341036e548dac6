"""Group a stream into batches whose size may change on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def batched(
    items: Iterable[Item],
    size: Callable[[], int],
    *,
    counts: Callable[[Item], bool] = lambda item: True,
    weight: Callable[[Item], int] = lambda item: 0,
    room: int = 1,
) -> Iterator[list[Item]]:
    """Yield lists of items in order, each as soon as it holds ``size()`` of those that count; the last may be short.

    ``size`` is asked anew for each item, so that a batch that was too large for the device makes all later ones
    smaller. A batch whose ``weight`` reaches ``room`` is full as well, so it weighs at most that and one item. What
    does not count (marks between frames) travels with the frames before it, and alone where none wait.
    Nothing of a batch is kept here once the next one is asked for.
    """
    batch: list[Item] = []
    filled = heavy = 0
    for item in items:
        batch.append(item)
        filled += counts(item)
        heavy += weight(item)
        del item  # a frame must not live on here while the next one is awaited
        if not filled or filled >= max(1, size()) or heavy >= room:
            yield batch
            batch = []
            filled = heavy = 0
    if batch:
        yield batch
