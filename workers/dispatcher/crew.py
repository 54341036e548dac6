"""A few threads that work off a short list, for duties whose single steps take minutes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Crew(Generic[Item]):
    """Owns at most ``size`` threads, started when there is something to do, ended when there is not.

    ``work`` carries its own errors: it must not raise.
    """

    def __init__(self, size: int, work: Callable[[Item], None], *, name: str) -> None:
        self._size = size
        self._work = work
        self._name = name
        self._todo: OrderedDict[str, Item] = OrderedDict()
        self._in_hand: set[str] = set()
        self._threads = 0
        self._closed = False
        self._changed = threading.Condition()

    def has_room(self) -> bool:
        """Whether a thread may soon have nothing to do."""
        with self._changed:
            return not self._closed and len(self._todo) < self._size

    def offer(self, items: Mapping[str, Item]) -> None:
        """Put ``items``, by id and in order, in the place of the list; what is in hand is not begun again."""
        with self._changed:
            if self._closed:
                return
            self._todo = OrderedDict((key, item) for key, item in items.items() if key not in self._in_hand)
            self._start_threads()

    def add(self, items: Mapping[str, Item]) -> None:
        """Put ``items`` at the end of the list; a closed crew takes none."""
        with self._changed:
            if not self._closed:
                self._todo.update(items)
                self._start_threads()

    def wait_for_room(self, timeout_seconds: float) -> int:
        """Wait until a thread could begin something at once; return how many could, 0 when the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._room() > 0 or self._closed, timeout_seconds)
            return 0 if self._closed else self._room()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait until the list is empty and nothing is in hand; return whether that came."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._threads, timeout_seconds)

    def close(self, timeout_seconds: float) -> bool:
        """Begin nothing more and wait for what is in hand; daemon threads that hang end with the process."""
        with self._changed:
            self._closed = True
            self._todo.clear()
            self._changed.notify_all()
        return self.wait(timeout_seconds)

    def _room(self) -> int:
        return max(0, self._size - len(self._in_hand) - len(self._todo))

    def _start_threads(self) -> None:
        while self._threads < min(self._size, len(self._todo) + len(self._in_hand)):
            self._threads += 1
            threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            key, item = taken
            try:
                self._work(item)
            finally:
                with self._changed:
                    self._in_hand.discard(key)
                    self._changed.notify_all()

    def _take(self) -> tuple[str, Item] | None:
        with self._changed:
            if not self._todo:
                self._threads -= 1
                self._changed.notify_all()
                return None
            key, item = self._todo.popitem(last=False)
            self._in_hand.add(key)
            return key, item
