"""Duty: items of batches into jobs, chunk by chunk; canceled, replayed and finished batches to their rest."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from prometheus_client import Counter

from storage.batches.making import BatchMaker, BatchWork, Chunk
from storage.batches.replaying import BatchReplayer
from workers.logs import get_logger

if TYPE_CHECKING:
    from workers.station import Ringer  # loads arrays, which the dispatcher's image does not have

log = get_logger(__name__)

ITEMS = Counter("framequeue_batch_items_total", "Items of batches, by what became of them.", ["outcome"])

#: a pass goes on as long as there is work, so that a backlog does not wait a second for each chunk
PASS_SECONDS = 3.0


class Batches:
    """Goes round the batches, one chunk of each at a time: a large one does not keep a small one waiting."""

    def __init__(
        self,
        maker: BatchMaker,
        replayer: BatchReplayer,
        doorbell: Ringer,
        *,
        tell: Callable[[str], None] = lambda changed: None,
        tell_canceled: Callable[[str], None] = lambda job_id: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Both are called after the commit: ``tell`` with the id of each batch that has finished and each job that was
        canceled, for clients that wait; ``tell_canceled`` with the latter, for the workers that run them.
        """
        self._maker = maker
        self._replayer = replayer
        self._doorbell = doorbell
        self._tell = tell
        self._tell_canceled = tell_canceled
        self._clock = clock

    def run_pass(self) -> None:
        """Raises: DatabaseUnavailable."""
        until = self._clock() + PASS_SECONDS
        while self._round() and self._clock() < until:
            pass

    def _round(self) -> bool:
        """One step of each batch; return whether any of them moved."""
        moved = [self._step(work) for work in self._maker.work()]
        return any(moved)

    def _step(self, work: BatchWork) -> bool:
        moved = False
        if work.canceling:
            canceled = self._maker.cancel_jobs(work.id)
            ITEMS.labels("canceled").inc(len(canceled))
            for job_id in canceled:
                self._tell(job_id)
                self._tell_canceled(job_id)
            moved = bool(canceled)
        if work.replaying:
            moved = self._done(self._replayer.step(work.id), "replayed")
        if work.makes:
            moved = self._done(self._maker.make(work.id), "made") or moved
        if work.ends and self._maker.finish(work.id):
            log.info("batch.finished", batch_id=work.id)
            self._tell(work.id)
        return moved

    def _done(self, chunk: Chunk, outcome: str) -> bool:
        ITEMS.labels(outcome).inc(chunk.jobs)
        ITEMS.labels("refused").inc(chunk.rejected)
        for (lane, size_class), count in chunk.lanes.items():
            self._doorbell.ring(lane, size_class, count)
        return chunk.jobs + chunk.rejected > 0
