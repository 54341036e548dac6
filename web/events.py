"""A job's life as server-sent events; each carries the whole job document."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from storage.errors import JobNotFound, StorageUnavailable
from storage.job import Job
from web.documents import JobDocument
from web.waiting import WaitingRoom

#: a comment this often keeps proxies from closing a silent stream
HEARTBEAT_SECONDS = 15.0
#: how long a client waits before it connects again
RETRY_MILLIS = 2000


def job_events(
    room: WaitingRoom, job: Job, view: Callable[[Job], JobDocument], *, seconds: float, last_id: str | None = None
) -> Iterator[str]:
    """Yield ``state``, ``progress``, and at last ``end`` or ``erased``; end after ``seconds`` in any case.

    ``last_id`` is what the client saw last: the event of that very version is not sent again. The caller holds a seat
    of the room.
    """
    yield f"retry: {RETRY_MILLIS}\n\n"
    deadline = time.monotonic() + seconds
    if job.terminal or event_id(job) != last_id:
        yield _event("end" if job.terminal else "state", view(job), event_id(job))
    try:
        while not (job.terminal or room.closing) and (left := deadline - time.monotonic()) > 0:
            for found in room.watch(job, min(HEARTBEAT_SECONDS, left)):
                kind = "end" if found.terminal else "state" if _moved(job, found) else "progress"
                job = found
                yield _event(kind, view(job), event_id(job))
                if job.terminal:
                    return
            yield ": still here\n\n"
    except JobNotFound:
        yield "event: erased\ndata: {}\n\n"
    except StorageUnavailable:
        yield ": the database does not answer; connect again\n\n"


def event_id(job: Job) -> str:
    """Return the id of the event that tells a version of the row."""
    return f"{job.run}.{int(job.updated_at.timestamp() * 1_000_000)}.{job.progress:.6f}"


def _moved(before: Job, after: Job) -> bool:
    return (before.run, before.state) != (after.run, after.state)


def _event(kind: str, document: JobDocument, name: str) -> str:
    return f"id: {name}\nevent: {kind}\ndata: {document.model_dump_json()}\n\n"
