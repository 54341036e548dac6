"""Leaving a failing service alone: a thousand claims against it would help nobody."""

from __future__ import annotations

from collections.abc import Callable

from storage.errors import ObjectStoreUnavailable, StorageError
from storage.objects.port import ObjectStore
from workers.logs import get_logger

log = get_logger(__name__)


class Rest:
    """One per worker process, one thread.

    After a rest that the object store caused, the store itself is asked before anything is claimed, so that an outage
    costs one call per rest and no job its place; in any case the first claim is of one segment.
    """

    def __init__(self, objects: ObjectStore, seconds: float, clock: Callable[[], float]) -> None:
        self._objects = objects
        self._seconds = seconds
        self._clock = clock
        self._until = float("-inf")
        self._ask_store = False
        #: nothing has gone well since the last rest
        self.on_trial = False

    def begin(self, error: BaseException) -> None:
        """Something failed that would meet the next claim too."""
        self._until = self._clock() + self._seconds
        self._ask_store = isinstance(error, ObjectStoreUnavailable)
        self.on_trial = True
        log.warning("worker.rests", error=repr(error), code=getattr(error, "code", None), seconds=self._seconds)

    def over(self) -> bool:
        """Whether work may go on; where the store is to answer first, it is asked here."""
        if self._clock() < self._until:
            return False
        if self._ask_store:
            try:
                self._objects.check()
            except StorageError as error:
                self.begin(error)
                return False
            self._ask_store = False
        return True

    def went_well(self, *, since: float) -> None:
        """A claim begun at ``since`` has ended; it went well unless the rest was begun again meanwhile."""
        if since >= self._until:
            self.on_trial = False
