"""Jobs as clients see them: create, read, list, cancel, replay, erase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from storage import creating, erasing, listing, places, replaying
from storage.answers import Created, JobFilter, Page, QueuePlace, SegmentResult
from storage.audit import SHELL, Actor
from storage.creating import Weight
from storage.database import Database
from storage.ending import JobEnd, end_jobs, lock_jobs
from storage.errors import JobNotFound
from storage.history import timeline
from storage.ids import is_id
from storage.job import Fault, InputRef, Job, JobState, Rows, SegmentState
from storage.job_rows import JOB_COLUMNS, job_from_row
from storage.model_rows import Pins
from storage.new_job import NewJob

__all__ = ["Created", "JobFilter", "JobStore", "Page", "QueuePlace", "SegmentResult"]

_GET = text(f"SELECT {JOB_COLUMNS} FROM jobs WHERE id = CAST(:id AS uuid)")  # noqa: S608 - fixed text

_SEGMENT_RESULTS = text("""
    SELECT index, state, start_pts, end_pts, frames, rows_count, rows_size_bytes, rows_sha256, rows_inline, rows_key
    FROM segments WHERE job_id = CAST(:id AS uuid) AND run = :run AND kind = 'infer' ORDER BY index
""")

#: ``list`` is a method below
_Keys = list[str]


class JobStore:
    """Conditional writes on ``jobs``; lock order is jobs by id, then segments by id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, new: NewJob) -> Created:
        """Insert job and first segment (none while ``uploading``) in one transaction.

        Concurrent duplicates of one idempotency key: the loser returns the winner's job.
        Raises: IdempotencyConflict (same key, other fingerprint), UploadNotFound, StateConflict (upload not complete).
        """
        with self._database.transaction() as connection:
            return creating.create(connection, new)

    def get(self, job_id: str, tenant: str | None = None) -> Job:
        """Raises: JobNotFound, also for another tenant's job."""
        with self._database.transaction() as connection:
            return _get(connection, job_id, tenant)

    def list(self, tenant: str, where: JobFilter, *, cursor: str | None, limit: int) -> Page:
        """Newest first. Raises: CursorInvalid."""
        with self._database.transaction() as connection:
            return listing.page(connection, tenant, where, cursor=cursor, limit=limit)

    def cancel(self, job_id: str, tenant: str | None = None) -> tuple[Job, bool]:
        """End the job ``canceled`` at once; return the row and whether this call did it. Raises: JobNotFound."""
        with self._database.transaction() as connection:
            _get(connection, job_id, tenant)
            lock_jobs(connection, [job_id])
            ended = end_jobs(connection, [JobEnd(job_id, JobState.CANCELED)])
            return _get(connection, job_id, tenant), job_id in ended

    def fail(self, job_id: str, fault: Fault, *, from_states: Sequence[JobState]) -> bool:
        """End a job that no claim holds (ingest refused, expired) as ``failed``; False if it was in no such state."""
        with self._database.transaction() as connection:
            job = lock_jobs(connection, [job_id]).get(job_id)
            if job is None or job.state not in from_states:
                return False
            return job_id in end_jobs(connection, [JobEnd(job_id, JobState.FAILED, error=fault.as_json())])

    def replay(
        self,
        job_id: str,
        tenant: str | None = None,
        *,
        params: Mapping[str, Any] | None = None,
        batch_key: str | None = None,
        pins: Pins | None = None,
        by: Actor | None = None,
    ) -> Job:
        """Start a new run of a terminal job: same params keep the done segments and the models, changed params plan
        again, with the models of ``pins``.

        A run that succeeded with all its parts has nothing left to do, so its replay does everything again.
        Raises: JobNotFound, StateConflict (not terminal), InputGone, ValueError (params without their batch_key).
        """
        if (params is None) != (batch_key is None):
            raise ValueError("params and batch_key come together")
        changed = None if params is None or batch_key is None else replaying.NewParams(params, batch_key, pins or {})
        with self._database.transaction() as connection:
            _get(connection, job_id, tenant)
            replaying.replay(connection, job_id, changed, note={"by": by.by} if by else None)
            return _get(connection, job_id, tenant)

    def erase(self, job_id: str, tenant: str | None = None, *, by: Actor = SHELL) -> _Keys:
        """Cancel if need be, delete the row and return the object keys that now have no owner. Raises: JobNotFound.

        What the job's own prefixes hold besides is deleted by ``storage.erasures.delete_objects``.
        """
        with self._database.transaction() as connection:
            _get(connection, job_id, tenant)
            return erasing.erase(connection, job_id, by)

    def attach_input(self, job_id: str, source: InputRef, weight: Weight | None = None) -> bool:
        """``uploading`` -> ``queued`` once the input lies in our store; False when the job has ended meanwhile.

        ``weight``: what the input turned out to be, where that is known.
        """
        with self._database.transaction() as connection:
            return creating.attach_input(connection, job_id, source, weight)

    def uploading(self, limit: int) -> Sequence[Job]:
        """Jobs whose remote input must still be copied in: of each tenant in turn the oldest."""
        with self._database.transaction() as connection:
            return listing.uploading(connection, limit)

    def segment_results(self, job_id: str, run: int) -> Sequence[SegmentResult]:
        """Infer segments of a run in order of time."""
        with self._database.transaction() as connection:
            rows = connection.execute(_SEGMENT_RESULTS, {"id": job_id, "run": run})
            return [_segment_result(row._asdict()) for row in rows]

    def events(self, job_id: str, *, after: int = 0, limit: int = 1000) -> Sequence[Mapping[str, Any]]:
        """The history of all runs, oldest first, behind event ``after``; see ``storage.history``."""
        with self._database.transaction() as connection:
            return timeline(connection, job_id, after=after, limit=limit)

    def queue_place(self, job: Job) -> QueuePlace | None:
        """Where a queued job stands; None when it is not waiting for a worker."""
        if job.state is not JobState.QUEUED:
            return None
        with self._database.transaction() as connection:
            return places.place_of(connection, job)


def _get(connection: Connection, job_id: str, tenant: str | None) -> Job:
    row = connection.execute(_GET, {"id": job_id}).one_or_none() if is_id(job_id) else None
    if row is None or tenant not in {None, row.tenant}:
        raise JobNotFound(f"no job {job_id}")
    return job_from_row(row)


def _segment_result(fields: Mapping[str, Any]) -> SegmentResult:
    return SegmentResult(
        index=fields["index"],
        state=SegmentState(fields["state"]),
        start_pts=fields["start_pts"],
        end_pts=fields["end_pts"],
        frames=fields["frames"],
        rows=_rows(fields),
    )


def _rows(fields: Mapping[str, Any]) -> Rows | None:
    if fields["rows_count"] is None:
        return None
    inline = fields["rows_inline"]
    return Rows(
        count=fields["rows_count"],
        size_bytes=fields["rows_size_bytes"],
        sha256=fields["rows_sha256"],
        inline=None if inline is None else bytes(inline),
        key=fields["rows_key"],
    )
