"""Duty: let go of what has had its time: first the row says so, then the objects go."""

from __future__ import annotations

from storage.objects.port import ObjectStore
from storage.retention import Retention
from workers.dispatcher import metrics
from workers.logs import get_logger

log = get_logger(__name__)

#: batches of one kind in one pass
ROUNDS = 10


class RetentionDuty:
    """Replicas share the work: what one has locked, the others skip."""

    def __init__(self, retention: Retention, objects: ObjectStore) -> None:
        self._retention = retention
        self._objects = objects

    def run_pass(self) -> None:
        """Let go of some. Raises: DatabaseUnavailable, ObjectStoreUnavailable (what is left is swept as litter)."""
        steps = {"inputs": self._retention.inputs, "results": self._retention.results, "jobs": self._retention.jobs}
        for what, step in steps.items():
            total = 0
            for _ in range(ROUNDS):
                gone = step()
                total += gone.jobs
                metrics.LET_GO.labels(what).inc(gone.jobs)
                if gone.keys:
                    self._objects.delete(gone.keys)
                if not gone.jobs:
                    break
            if total:
                log.info("retention.deleted", what=what, jobs=total)
        for _ in range(ROUNDS):
            if not self._retention.rest():
                break
