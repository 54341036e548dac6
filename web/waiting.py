"""Clients that wait: a bounded number of threads, woken by hints, looking for themselves now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from storage.job import Job
from storage.jobs import JobStore
from workers.hints import Hints

#: the first look a waiting client takes by itself comes early: a hint that fell between reading the row and beginning
#: to wait would else cost the whole ``recheck_seconds``
FIRST_LOOK_SECONDS = 0.25


class Seat:
    """A place in the waiting room, to be left by whoever took it."""

    def __init__(self, seats: threading.BoundedSemaphore) -> None:
        self._seats: threading.BoundedSemaphore | None = seats

    def leave(self) -> None:
        """Give the seat back; once is enough."""
        seats, self._seats = self._seats, None
        if seats is not None:
            seats.release()


class WaitingRoom:
    """Long polls and event streams together take at most ``seats`` threads of this process."""

    def __init__(
        self,
        jobs: JobStore,
        hints: Hints,
        *,
        seats: int,
        recheck_seconds: float = 3.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``recheck_seconds``: how often a waiting client looks at the row by itself, in case a hint was lost."""
        self._jobs = jobs
        self._hints = hints
        self._recheck_seconds = recheck_seconds
        self._seats = threading.BoundedSemaphore(max(1, seats))
        self._clock = clock
        self._closing = threading.Event()

    def close(self) -> None:
        """The process is about to end: whoever waits is answered at the next look."""
        self._closing.set()

    @property
    def closing(self) -> bool:
        """Whether ``close`` was called."""
        return self._closing.is_set()

    def sit(self) -> Seat | None:
        """Take a seat if one is free."""
        return Seat(self._seats) if self._seats.acquire(blocking=False) else None

    def watch(self, job: Job, seconds: float) -> Iterator[Job]:
        """Yield the job each time its row has changed. Ends when the time is over or the process is about to.

        Raises: JobNotFound when it is erased meanwhile, DatabaseUnavailable.
        """
        deadline = self._clock() + seconds
        pause = FIRST_LOOK_SECONDS
        while not self.closing and (left := deadline - self._clock()) > 0:
            hinted = self._hints.wait(job.id, min(left, pause))
            pause = FIRST_LOOK_SECONDS if hinted else self._recheck_seconds
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
        seat = self.sit()
        if seat is None:
            return job
        try:
            for found in self.watch(job, seconds):
                job = found
                if done(job):
                    break
        finally:
            seat.leave()
        return job


def version(job: Job) -> tuple[object, ...]:
    """What changes whenever a client could see a change of the row."""
    return job.run, job.state, job.updated_at, job.progress, job.stage, job.segments_left
