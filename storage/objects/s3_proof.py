"""Whether a store answers at all: one thread asks, and for a moment all the others know."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from storage.errors import ObjectStoreUnavailable

#: how long an answer of the store vouches for it
GOOD_SECONDS = 2.0
#: how long after a failure nobody asks: a store that comes back under load must not be met by everyone at once
BAD_SECONDS = 1.0


class Proof:
    """Safe to use from many threads.

    While a store is known to be away, one thread at a time looks whether it is back, and the others are told no at once:
    a front end whose every thread waits for a frozen store would answer nobody.
    """

    def __init__(self, ask: Callable[[], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        """``ask`` raises ObjectStoreUnavailable within seconds unless the store answers."""
        self._ask = ask
        self._clock = clock
        self._changed = threading.Condition()
        self._asking = False
        self._good_until = float("-inf")
        self._bad_until = float("-inf")
        self._why: str | None = None

    def require(self) -> None:
        """Return if the store answers, or did so a moment ago. Raises: ObjectStoreUnavailable."""
        with self._changed:
            while True:
                now = self._clock()
                if now < self._good_until:
                    return
                if self._why is not None and (self._asking or now < self._bad_until):
                    raise ObjectStoreUnavailable(self._why)
                if not self._asking:
                    self._asking = True
                    break
                self._changed.wait()
        why: str | None = "the object store was asked and gave no answer"
        try:
            self._ask()
            why = None
        except ObjectStoreUnavailable as error:
            why = str(error)
            raise
        finally:
            self._learn(why)

    def confirm(self) -> None:
        """The store has just answered."""
        with self._changed:
            self._good_until = self._clock() + GOOD_SECONDS
            self._why = None

    def doubt(self) -> None:
        """A call got no answer: what vouched for the store does not any more."""
        with self._changed:
            self._good_until = float("-inf")

    def _learn(self, why: str | None) -> None:
        with self._changed:
            self._asking = False
            self._why = why
            now = self._clock()
            self._good_until = now + GOOD_SECONDS if why is None else float("-inf")
            self._bad_until = float("-inf") if why is None else now + BAD_SECONDS
            self._changed.notify_all()
