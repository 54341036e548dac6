"""One bounded thread that works ahead of its consumer."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Prefetch(Generic[Item]):
    """Run a generator in a thread, at most ``depth`` items ahead. Use as a context manager, iterate inside.

    What the generator raises is raised in the consumer, after the items that came before it. Leaving the block
    (also by an exception) closes the generator in its own thread and joins the thread. Where the generator hangs in
    a blocking call, ``interrupt`` is called once after ``patience_seconds`` to wake it. While the consumer waits for an
    item, ``idle`` is called in it every ``idle_seconds``; what it raises passes through.
    """

    def __init__(
        self,
        items: Iterator[Item],
        depth: int,
        *,
        interrupt: Callable[[], None] | None = None,
        patience_seconds: float = 2.0,
        idle: Callable[[], None] | None = None,
        idle_seconds: float = 1.0,
    ) -> None:
        if depth < 1:
            raise ValueError("depth must be at least 1")
        self._items = items
        self._depth = depth
        self._interrupt = interrupt
        self._patience_seconds = patience_seconds
        self._idle = idle
        self._idle_seconds = idle_seconds
        self._ready: deque[Item] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._ended = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._produce, name="prefetch", daemon=True)

    def __enter__(self) -> Prefetch[Item]:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        while not self._wait():
            if self._idle is not None:
                self._idle()
        with self._changed:
            if self._ready:
                item = self._ready.popleft()
                self._changed.notify_all()
                return item
            error, self._error = self._error, None
        if error is not None:
            raise error
        raise StopIteration

    def close(self) -> None:
        """Stop the generator, close it and join its thread; may be called twice.

        Raises: RuntimeError when the thread does not end even after ``interrupt``.
        """
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()
        self._thread.join(self._patience_seconds)
        if self._thread.is_alive() and self._interrupt is not None:
            self._interrupt()
            self._thread.join(10 * self._patience_seconds)
        if self._thread.is_alive():
            raise RuntimeError("the prefetch thread did not end")

    def _wait(self) -> bool:
        """Return whether an item or the end has come within ``idle_seconds``."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._ready) or self._ended, self._idle_seconds)

    def _produce(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._items:
                if not self._put(item):
                    break
                del item  # a frame must not live on here while the next one is awaited
        except BaseException as raised:  # noqa: BLE001 - carried to the consumer, which raises it
            error = raised
        finally:
            self._finish(error)

    def _put(self, item: Item) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._ready) < self._depth)
            if self._closed:
                return False
            self._ready.append(item)
            self._changed.notify_all()
            return True

    def _finish(self, error: BaseException | None) -> None:
        try:
            close = getattr(self._items, "close", None)
            if close is not None:
                close()
        except BaseException as raised:  # noqa: BLE001 - the first error is the one to tell
            error = error or raised
        with self._changed:
            self._error = error
            self._ended = True
            self._changed.notify_all()
