"""Whether the store answers: asked by one thread at a time, remembered for a moment, so that an outage costs little."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from storage.errors import ObjectStoreUnavailable

#: how long an answer of the store vouches for it, before a put or a read asks again
GOOD_SECONDS = 2.0
#: how long a failure speaks against it; meanwhile everybody is refused at once
BAD_SECONDS = 1.0
#: a failure so long ago says nothing any more: whoever comes then waits for the answer, which takes no longer than this
STALE_SECONDS = 4.0


class Proof:
    """One per store; for many threads.

    While the store is away, each caller would wait a time-out of its own and the process would have no thread left:
    one asks, the rest hear what came of it, or what came of it last.
    """

    def __init__(self, ask: Callable[[], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        """``ask``: one quick call of the store. Raises: ObjectStoreUnavailable."""
        self._ask = ask
        self._clock = clock
        self._turn = threading.Condition()
        self._asking = False
        self._good_at = float("-inf")
        self._failed: str | None = None
        self._failed_at = float("-inf")

    def demand(self) -> None:
        """Return when the store answers, or did so a moment ago. Raises: ObjectStoreUnavailable."""
        with self._turn:
            while True:
                now = self._clock()
                if self._failed is None and now - self._good_at < GOOD_SECONDS:
                    return
                if self._failed is not None and now - self._failed_at < (
                    STALE_SECONDS if self._asking else BAD_SECONDS
                ):
                    raise ObjectStoreUnavailable(self._failed)
                if not self._asking:
                    self._asking = True
                    break
                self._turn.wait()
        try:
            with self.watching():
                self._ask()
        finally:
            with self._turn:
                self._asking = False
                self._turn.notify_all()

    def doubt(self) -> None:
        """A call got no answer: nothing vouches for the store until it is asked again."""
        with self._turn:
            self._good_at = float("-inf")

    @contextmanager
    def watching(self) -> Iterator[None]:
        """A call of the store: what becomes of it is what the others hear."""
        try:
            yield
        except ObjectStoreUnavailable as error:
            with self._turn:
                self._failed, self._failed_at = str(error), self._clock()
            raise
        with self._turn:
            self._failed, self._good_at = None, self._clock()
