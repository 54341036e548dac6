"""Duty: copy remote inputs into our store; with webhooks the only traffic we send to places that clients name.

A pass only starts copies; each runs in a thread of its own. Two dispatchers avoid each other by a lock, and even
without it do no harm: each copy has its own key, and only one can be attached to the job.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import tenacity
from prometheus_client import Counter

from pipeline.errors import MediaError
from pipeline.sniff import HEAD_BYTES, is_text, sniff
from storage.creating import Weight
from storage.errors import JobNotFound, ObjectTooLarge, StorageError
from storage.ids import new_id
from storage.job import Fault, InputRef, Job, JobState
from storage.jobs import JobStore
from storage.objects.keys import ingest_key
from storage.objects.port import ObjectStore, StoredObject
from storage.objects.streams import pulled
from workers.dispatcher.crew import Crew
from workers.dispatcher.sources import Sources
from workers.fetch_url import Fetched, FetchError
from workers.logs import get_logger

if TYPE_CHECKING:
    from workers.station import Ringer  # loads arrays, which the dispatcher's image does not have

log = get_logger(__name__)

COPIES = Counter("framequeue_ingest_copies_total", "Copies of remote inputs, by how they ended.", ["outcome"])
BYTES = Counter("framequeue_ingest_bytes_total", "Bytes of remote inputs copied in.")

#: jobs looked at in one pass; those that wait for a broken source must not hide the ones behind them
LOOKED_AT = 2000
#: how often the list of waiting jobs is made anew while it is worked off: who came meanwhile takes turns too
REFRESH_SECONDS = 5.0
#: until the plan knows better: seconds of work for a still, and per MiB of a video; as for a submitted file
STILL = Weight("short", 0.2)
LONG_COST_SECONDS_PER_MIB = 0.5
#: tries of one copy before it waits for a later pass
TRIES = 3
FIRST_WAIT_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 300.0
#: how often a running copy looks whether its job still wants it
STILL_WANTED_SECONDS = 5.0
#: how long our own store or database may be down before a job that waits for its input fails
OUTAGE_SECONDS = 24 * 3600.0

ADVICE = {
    "input.refused": "Check the URL, or upload the file instead.",
    "input.gone": "Check that the file is still there, or upload it instead.",
    "input.unreachable": "Check that the source answers from the internet, then replay the job or upload the file.",
    "media.too_large": "Send a smaller or shorter file.",
    "storage.unavailable": "Replay the job once the object store answers again.",
}


class Locks(Protocol):
    """``SessionLocks``, as this duty uses it."""

    def hold(self, name: str) -> AbstractContextManager[bool]:
        """Try to take a lock for the length of the block; yield whether we have it."""


class NoLongerWantedError(Exception):
    """The job has ended, or this process stops: the copy is given up."""


@dataclass(slots=True)
class _Wait:
    """When a job's source may be tried again."""

    seconds: float = 0.0
    until: float = 0.0

    def longer(self, now: float) -> None:
        self.seconds = min(max(self.seconds * 2, FIRST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)
        self.until = now + self.seconds


def verdict(error: Exception, waited_seconds: float, patience_seconds: float) -> Fault | None:
    """Return the fault that ends the job, or None when a later pass should try again."""
    match error:
        case ObjectTooLarge() | FetchError(transient=False):
            return _fault(error.code, str(error))
        case FetchError():
            over = waited_seconds > patience_seconds
            return _fault(error.code, f"{error}, tried for {waited_seconds:.0f} s") if over else None
        case _:
            # ours, not the source's: it waits as long as anything else does for a broken store or database
            over = waited_seconds > OUTAGE_SECONDS
            return _fault("storage.unavailable", "the input could not be stored for a day") if over else None


class Ingest:
    """Owns the threads that copy: at most ``concurrency``."""

    def __init__(
        self, jobs: JobStore, objects: ObjectStore, sources: Sources, doorbell: Ringer, *, locks: Locks,
        concurrency: int = 4, patience_seconds: float = 3600.0, max_bytes: int | None = None,
        tell: Callable[[str], None] = lambda job_id: None,
    ) -> None:  # fmt: skip
        """``tell``: called with the id of each job that has changed, after the commit."""
        self._jobs = jobs
        self._objects = objects
        self._sources = sources
        self._doorbell = doorbell
        self._locks = locks
        self._patience_seconds = patience_seconds
        self._max_bytes = max_bytes
        self._tell = tell
        self._stop = threading.Event()
        self._crew = Crew(concurrency, self._ingest, name="ingest")
        self._waits: dict[str, _Wait] = {}
        self._looked_at = float("-inf")

    def run_pass(self) -> None:
        """Give the copy threads what waits for its input, if they run short. Raises: DatabaseUnavailable."""
        if not self._crew.has_room() and time.monotonic() < self._looked_at + REFRESH_SECONDS:
            return
        self._looked_at = time.monotonic()
        waiting = {job.id: job for job in self._jobs.uploading(LOOKED_AT)}
        for job_id in [job_id for job_id in self._waits if job_id not in waiting]:
            del self._waits[job_id]
        self._crew.offer(
            {job.id: job for job in waiting.values() if job.input.source_url is not None and self._is_due(job)}
        )

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for all copies that were begun or are to be begun; return whether they have ended."""
        return self._crew.wait(timeout_seconds)

    def close(self, timeout_seconds: float = 1.0) -> None:
        """Give copies up and start none; one that hangs in a read is a daemon thread and ends with the process."""
        self._stop.set()
        self._crew.close(timeout_seconds)

    def _is_due(self, job: Job) -> bool:
        wait = self._waits.get(job.id)
        return wait is None or time.monotonic() >= wait.until

    def _ingest(self, job: Job) -> None:
        """One job in its thread; whatever happens is settled or logged here."""
        try:
            with self._locks.hold(f"ingest {job.id}") as ours:
                # another dispatcher may have finished it between our look and our lock
                if ours and not self._stop.is_set() and self._is_wanted(job):
                    COPIES.labels(self._settled(job)).inc()
        except Exception:
            # the database went away before the outcome could be written
            self._later(job)
            log.exception("ingest.interrupted", job_id=job.id)

    def _settled(self, job: Job) -> str:
        """Copy and attach, or find out why not; return the outcome's name. Raises: DatabaseUnavailable."""
        try:
            source, weight = self._copied_with_retries(job)
        except NoLongerWantedError:
            return "unwanted"
        except Exception as error:
            if not isinstance(error, FetchError | StorageError):
                log.exception("ingest.error", job_id=job.id)
            waited_seconds = (datetime.now(UTC) - job.updated_at).total_seconds()
            fault = verdict(error, waited_seconds, self._patience_seconds)
            return self._failed(job, fault) if fault else self._postponed(job, error)
        return self._attached(job, source, weight)

    def _postponed(self, job: Job, error: Exception) -> str:
        self._later(job)
        log.warning("ingest.postponed", job_id=job.id, error=repr(error))
        return "postponed"

    def _copied_with_retries(self, job: Job) -> tuple[InputRef, Weight]:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, FetchError) and error.transient),
            stop=tenacity.stop_after_attempt(TRIES) | tenacity.stop_when_event_set(self._stop),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=5),
            sleep=tenacity.sleep_using_event(self._stop),
            reraise=True,
        )
        return retrying(self._copied, job)

    def _copied(self, job: Job) -> tuple[InputRef, Weight]:
        """Copy once. Raises: FetchError, StorageError, NoLongerWantedError."""
        url = job.input.source_url or ""
        head = bytearray()
        with self._sources.open(url, job.tenant) as fetched:
            content_type = job.input.content_type or fetched.content_type
            stored = self._objects.put(
                ingest_key(job.id, new_id()),
                pulled(self._watched(job, fetched, head)),
                content_type=content_type,
                limit_bytes=self._max_bytes,
            )
            return _input_of(job, fetched, stored), weight_of(bytes(head), stored.size_bytes)

    def _watched(self, job: Job, fetched: Fetched, head: bytearray) -> Callable[[int], bytes]:
        """Read the source's bytes as long as somebody wants them; keep the first ones in ``head``."""
        look_at = time.monotonic() + STILL_WANTED_SECONDS

        def pull(size: int) -> bytes:
            nonlocal look_at
            if self._stop.is_set():
                raise NoLongerWantedError
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + STILL_WANTED_SECONDS
                if not self._is_wanted(job):
                    raise NoLongerWantedError
            # what has come so far: filling a buffer from a slow source would hide a cancel for minutes
            piece = fetched.body.read1(size)
            head.extend(piece[: HEAD_BYTES - len(head)])
            BYTES.inc(len(piece))
            return piece

        return pull

    def _is_wanted(self, job: Job) -> bool:
        try:
            now = self._jobs.get(job.id)
        except JobNotFound:
            return False
        return now.state is JobState.UPLOADING and now.run == job.run

    def _attached(self, job: Job, source: InputRef, weight: Weight) -> str:
        """Queue the job. Were the commit's answer lost, the object would stay, for the row may name it."""
        if not self._jobs.attach_input(job.id, source, weight):
            self._objects.delete([source.key or ""])
            return "unwanted"
        self._doorbell.ring(job.lane, weight.size_class)
        self._tell(job.id)
        log.info("ingest.done", job_id=job.id, size_bytes=source.size_bytes)
        return "copied"

    def _failed(self, job: Job, fault: Fault) -> str:
        if self._jobs.fail(job.id, fault, from_states=[JobState.UPLOADING]):
            self._tell(job.id)
            log.info("ingest.failed", job_id=job.id, code=fault.code)
        return fault.code

    def _later(self, job: Job) -> None:
        self._waits.setdefault(job.id, _Wait()).longer(time.monotonic())


def weight_of(head: bytes, size_bytes: int) -> Weight:
    """Judge by its first bytes whether an input is read at once, with others of its kind, or to be played."""
    try:
        found = sniff(head)
    except MediaError:
        if is_text(head):
            return STILL  # readings of a sensor, or soon refused
        found = None  # the worker says what is wrong with it
    if found is not None and found.kind == "image" and "GIF" not in found.formats:
        return STILL
    return Weight("long", max(1.0, size_bytes / 1024**2 * LONG_COST_SECONDS_PER_MIB))


def _fault(code: str, message: str) -> Fault:
    return Fault(code, message, advice=ADVICE.get(code), stage="ingest")


def _input_of(job: Job, fetched: Fetched, stored: StoredObject) -> InputRef:
    return InputRef(
        key=stored.key,
        size_bytes=stored.size_bytes,
        etag=stored.etag,
        sha256=stored.sha256,
        filename=job.input.filename or fetched.filename,
        content_type=stored.content_type,
        source_url=job.input.source_url,
    )
