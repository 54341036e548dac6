"""Clients that wait: a bounded number of threads, woken by hints, looking for themselves now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from storage.job import Job
from storage.jobs import JobStore
from workers.hints import Hints

#: how soon a waiting client looks at the row by itself, in case a hint was lost; the last one repeats.
#: The first is short: a hint between the first look and the wait would else cost the whole time.
LOOK_AGAIN_SECONDS = (0.25, 1.0, 2.0, 3.0)


class WaitingRoom:
    """Long polls and event streams together take at most ``seats`` threads of this process."""

    def __init__(
        self, jobs: JobStore, hints: Hints, *, seats: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._jobs = jobs
        self._hints = hints
        self._seats = threading.BoundedSemaphore(max(1, seats))
        self._clock = clock

    def sit(self) -> bool:
        """Take a seat if one is free; say whether there was. Whoever sits must ``leave``."""
        return self._seats.acquire(blocking=False)

    def leave(self) -> None:
        """Give a seat back."""
        self._seats.release()

    def watch(self, job: Job, seconds: float) -> Iterator[Job]:
        """Yield the job each time its row has changed; None of it is repeated. Ends when the time is over.

        Raises: JobNotFound when it is erased meanwhile, DatabaseUnavailable.
        """
        deadline = self._clock() + seconds
        looks = 0
        while (left := deadline - self._clock()) > 0:
            pause = LOOK_AGAIN_SECONDS[min(looks, len(LOOK_AGAIN_SECONDS) - 1)]
            hinted = self._hints.wait(job.id, min(left, pause))
            looks = 0 if hinted else looks + 1
            found = self._jobs.get(job.id, job.tenant)
            if version(found) != version(job):
                job = found
                yield job

    def until(self, job: Job, seconds: float, done: Callable[[Job], bool]) -> Job:
        """Return the job as soon as ``done`` says so of it, at the latest after ``seconds``, on a seat if one is free.

        Without a free seat it answers at once. Raises: as ``watch``.
        """
        if done(job) or seconds <= 0:
            return job
        if not self.sit():
            return job
        try:
            for found in self.watch(job, seconds):
                job = found
                if done(job):
                    break
        finally:
            self.leave()
        return job


def version(job: Job) -> tuple[object, ...]:
    """What changes whenever a client could see a change of the row."""
    return job.run, job.state, job.updated_at, job.progress, job.stage, job.segments_left
