"""Job documents with everything around the row: place in the queue, live workers, ETag, Retry-After."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response, request

from storage.errors import JobNotFound
from storage.job import Job, JobState
from web.answers import answer
from web.context import base_url, caller, services
from web.documents import JobDocument
from web.incoming import known_id
from web.shapes import View, etag_of, job_document
from web.situation import retry_after_seconds


def own_job(job_id: str) -> Job:
    """Return the caller's job. Raises: JobNotFound, also for another tenant's."""
    return services().jobs.get(known_id(job_id, JobNotFound), caller().tenant)


def view_job(job: Job, *, placed: bool = True) -> JobDocument:
    """Return the document of a job; ``placed`` counts the jobs before it (one more statement)."""
    scene = services().situation.scene()
    place = services().jobs.queue_place(job) if placed and job.state is JobState.QUEUED else None
    return job_document(job, View(base_url(), scene, place))


def answer_job(job: Job, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a job document; 304 when the client has it already."""
    document = view_job(job)
    etag = etag_of(document)
    extra = {"ETag": etag, "Cache-Control": "private, no-cache", **(headers or {})}
    if not job.terminal:
        extra["Retry-After"] = str(retry_after_seconds(document.eta_seconds))
    if request.method == "GET" and client_has(etag):
        return Response(status=304, headers=extra)
    return answer(document, status, extra)


def client_has(etag: str) -> bool:
    """Whether If-None-Match names this version."""
    return request.if_none_match.contains_weak(etag.removeprefix('W/"').removesuffix('"'))


def clear_wait(seconds: float) -> float:
    """Return how long this server will really wait."""
    return max(0.0, min(seconds, services().settings.max_wait_seconds))
