"""Duty: look again for objects of erased jobs, which somebody may have been writing when they were erased."""

from __future__ import annotations

from storage.erasures import Erasures, delete_objects
from storage.objects.port import ObjectStore
from workers.logs import get_logger

log = get_logger(__name__)


class ErasuresDuty:
    """Each erasure is looked at three times within some hours; a day later everybody has heard of it."""

    def __init__(self, erasures: Erasures, objects: ObjectStore) -> None:
        self._erasures = erasures
        self._objects = objects

    def run_pass(self) -> None:
        """Look at what is due. Raises: DatabaseUnavailable, ObjectStoreUnavailable; the look is then still due."""
        for erasure in self._erasures.due():
            found = delete_objects(self._objects, erasure.job_id, [erasure.input_key] if erasure.input_key else [])
            self._erasures.looked(erasure)
            if found:
                log.info("erasure.litter", job_id=erasure.job_id, objects=found)
        self._erasures.forget()
