"""A few threads that work on many items, and one place where what they say arrives.

The threads are daemons: after Ctrl-C the command may end while one of them still waits for the network.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Said(Generic[Item]):
    """Something a thread says about its item: news on the way, or the end with a value or an error."""

    item: Item
    value: Any = None
    error: Exception | None = None
    ended: bool = False


def work(items: Sequence[Item], threads: int, do: Callable[[Item, Callable[[Any], None]], Any]) -> Iterator[Said[Item]]:
    """Run ``do(item, tell)`` for all items on at most ``threads`` threads; yield what is told, and each end.

    Closing the iterator early lets no further item begin.
    """
    left: queue.SimpleQueue[Item] = queue.SimpleQueue()
    said: queue.SimpleQueue[Said[Item]] = queue.SimpleQueue()
    stop = threading.Event()
    for item in items:
        left.put(item)

    def run() -> None:
        while not stop.is_set():
            try:
                item = left.get_nowait()
            except queue.Empty:
                return
            try:
                value = do(item, lambda news, item=item: said.put(Said(item, news)))  # type: ignore[misc]
            except Exception as error:  # noqa: BLE001 - carried to the one who asked
                said.put(Said(item, error=error, ended=True))
            else:
                said.put(Said(item, value, ended=True))

    for _ in range(min(threads, len(items))):
        threading.Thread(target=run, daemon=True).start()
    ended = 0
    try:
        while ended < len(items):
            heard = said.get()
            ended += heard.ended
            yield heard
    finally:
        stop.set()
