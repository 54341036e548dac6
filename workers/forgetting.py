"""What a worker does about erasures: with each heartbeat it asks what was erased, and its disk forgets it."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from storage.erasures import Told
from workers.scratch import Scratch


class Erased(Protocol):
    """``Erasures``, as a worker asks it."""

    def since(self, after: datetime | None) -> Told:
        """Return what was erased since an earlier answer."""


class Forgetting:
    """Called by the heartbeat's thread."""

    def __init__(self, erased: Erased, scratch: Scratch) -> None:
        self._erased = erased
        self._scratch = scratch
        self._after: datetime | None = None

    def __call__(self) -> None:
        """Ask, and forget. Raises: DatabaseUnavailable; then the next call asks for more."""
        told = self._erased.since(self._after)
        if told.everything:
            self._scratch.forget_all()
        else:
            self._scratch.forget(told.keys)
        self._after = told.now
