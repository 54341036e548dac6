"""The heartbeat: one thread per child that renews the worker's row and hears what is still held."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from storage.claims import Claims
from storage.errors import StorageError
from storage.fleet import LEASE_SECONDS
from storage.job import Claim
from workers.logs import get_logger

log = get_logger(__name__)

INTERVAL_SECONDS = 5.0


class Hold:
    """A claim in hand, as runner and heartbeat see it; each field has one writer."""

    def __init__(self, claim: Claim, since: float) -> None:
        self.claim = claim
        self.since = since
        #: written by the runner: (done, total) frames per segment id; replaced whole, never changed in place
        self.progress: dict[str, tuple[int, int]] = {}
        #: written by the heartbeat: nothing of the claim is held any more
        self.lost = False


class Pulse:
    """Registers the worker, beats every five seconds, and registers anew when it was declared lost.

    Use as a context manager. PostgreSQL being away ends nothing: the work goes on, and a result that nobody else
    has taken over is accepted late.
    """

    def __init__(
        self,
        worker_id: str,
        claims: Claims,
        register: Callable[[], None],
        *,
        on_draining: Callable[[], None] = lambda: None,
        on_beat: Callable[[], None] = lambda: None,
        interval_seconds: float = INTERVAL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.worker_id = worker_id
        self._claims = claims
        self._register = register
        self._on_draining = on_draining
        self._on_beat = on_beat
        self._interval = interval_seconds
        self._clock = clock
        self._end = threading.Event()
        self._soon = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._hold: Hold | None = None
        self._lease_until = 0.0
        self.registered = False
        #: an operator asked this worker to claim no more
        self.draining = False

    def __enter__(self) -> Pulse:
        self._beat_safely()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._soon.set()
        self._thread.join(self._interval)

    @contextmanager
    def holding(self, claim: Claim) -> Iterator[Hold]:
        """Watch over a claim while the block works on it."""
        self._hold = hold = Hold(claim, self._clock())
        try:
            yield hold
        finally:
            self._hold = None

    def nudge(self, job_id: str) -> None:
        """Something happened to a job: where it is in hand, beat now instead of in some seconds. From any thread."""
        hold = self._hold
        if hold is not None and any(segment.job_id == job_id for segment in hold.claim.segments):
            self._soon.set()

    @property
    def lease_seconds_left(self) -> float:
        """How long nobody may take what we hold, by our own clock, counted from before the last beat was sent."""
        return self._lease_until - self._clock()

    def beat(self) -> None:
        """Beat once. Raises: DatabaseUnavailable."""
        if not self.registered:
            self._register()
            self.registered = True
            log.info("worker.registered")
        sent, hold = self._clock(), self._hold
        answer = self._claims.heartbeat(
            self.worker_id, hold.progress if hold else {}, in_hand={hold.claim.id} if hold else set()
        )
        self._lease_until = sent + LEASE_SECONDS
        if answer.draining and not self.draining:
            log.info("worker.draining")
            self._on_draining()
        self.draining = answer.draining
        if answer.lost:
            log.warning("worker.was_declared_lost")
            self.registered = False
        # a claim made while the beat was under way may be missing from the answer
        if hold is not None and hold.since < sent and hold.claim.id not in answer.held:
            hold.lost = True
        self._on_beat()

    def _beat_safely(self) -> None:
        try:
            self.beat()
        except StorageError as error:
            log.warning("heartbeat.failed", error=repr(error), lease_seconds_left=round(self.lease_seconds_left, 1))

    def _run(self) -> None:
        while True:
            self._soon.wait(self._interval if self.registered else min(1.0, self._interval))
            if self._end.is_set():
                return
            self._soon.clear()
            try:
                self._beat_safely()
            except Exception:  # a heart that stops for an unforeseen error would cost every later claim
                log.exception("heartbeat.error")
