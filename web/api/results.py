"""What came of a job: rows of frames, whole results, and its life as events."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

from apiflask import APIBlueprint
from apiflask.schemas import FileSchema
from flask import Response, request, stream_with_context

from storage.job import Job, JobState
from storage.objects.disposition import attachment
from web.auth import scope
from web.context import services
from web.documents import FramePage
from web.errors import Problem
from web.events import job_events
from web.exports import FORMATS, formats_for
from web.jobviews import own_job, view_job
from web.queries import FramesQuery, ResultQuery
from web.results import Place, PlacedRow, RowReader
from web.streaming import stream

bp = APIBlueprint("results", __name__, url_prefix="/v1/jobs", tag="Results")


@bp.get("/<job_id>/frames")
@scope("read")
@bp.input(FramesQuery, location="query")
@bp.output(FramePage)
def get_frames(job_id: str, query_data: FramesQuery) -> Response:
    """Read result rows, one per sampled frame, in order of time.

    Also while the job runs (as far as its segments are done without a gap), and of jobs that ended badly.
    """
    job = own_job(job_id)
    _require_rows(job)
    reader = RowReader(services().jobs, services().objects, job)
    start = Place.of(query_data.cursor) if query_data.cursor else Place(job.run)
    if start.run != job.run:
        raise Problem("cursor.invalid", f"the cursor is of run {start.run}, the job is at run {job.run}")
    rows = reader.placed(start)
    return stream(_page(job, reader, _between(rows, query_data), query_data), "application/json")


def _between(rows: Iterator[PlacedRow], query: FramesQuery) -> Iterator[PlacedRow]:
    """The rows in [from, to); rows are in order of time, so the first one past the end is the last one read."""
    if query.start is None and query.end is None:
        yield from rows
        return
    for row in rows:
        seconds = row.data()["pts_seconds"]
        if query.end is not None and seconds >= query.end:
            return
        if query.start is None or seconds >= query.start:
            yield row


def _page(job: Job, reader: RowReader, rows: Iterator[PlacedRow], query: FramesQuery) -> Iterator[str]:
    """A FramePage, written row by row; the members after the rows are known only then."""
    head = f'{{"job_id":"{job.id}","run":{job.run},"state":"{job.state}"'
    yield f'{head},"complete":{"true" if reader.complete else "false"},"frames":['
    last: PlacedRow | None = None
    for number, row in enumerate(itertools.islice(rows, query.limit)):
        yield ("," if number else "") + row.text.decode()
        last = row
    yield f'],"next_cursor":{json.dumps(_next_cursor(job, last, query, more=next(rows, None) is not None))}}}'


def _next_cursor(job: Job, last: PlacedRow | None, query: FramesQuery, *, more: bool) -> str | None:
    """Where to go on: behind the last row, as long as there are, or may yet be, rows behind it."""
    if job.terminal and not more:
        return None
    return last.after.cursor() if last else query.cursor


@bp.get("/<job_id>/result")
@scope("read")
@bp.input(ResultQuery, location="query")
@bp.output(FileSchema(type="string", format="binary"), content_type="application/json")
def get_result(job_id: str, query_data: ResultQuery) -> Response:
    """Download the whole result as json, jsonl or csv, and where rows hold objects as coco or mot."""
    job = own_job(job_id)
    if query_data.format not in FORMATS:
        raise _unknown_format(query_data.format, list(FORMATS))
    _require_result(job)
    _require_rows(job)
    reader = RowReader(services().jobs, services().objects, job)
    way = FORMATS[query_data.format]
    if way.wants_objects and query_data.format not in (fitting := formats_for(reader.rows)):
        raise _unknown_format(query_data.format, fitting)
    response = stream(way.write(view_job(job), reader.rows), way.content_type)
    response.headers["Content-Disposition"] = attachment(f"{job.pipeline}-{job.id}.{way.extension}")
    return response


def _require_result(job: Job) -> None:
    if not job.terminal:
        raise Problem(
            "result.not_ready",
            f"the job is {job.state}",
            advice="GET the job with ?wait=20, or its /frames for what is done so far",
            headers={"Retry-After": "2"},
        )
    if job.state is not JobState.SUCCEEDED:
        raise Problem(
            "result.unavailable", f"the job ended {job.state}", advice="its error says why; /frames has what was done"
        )


def _require_rows(job: Job) -> None:
    if job.results_deleted_at is not None:
        raise Problem(
            "result.gone",
            f"its rows were deleted at {job.results_deleted_at:%Y-%m-%d %H:%M} UTC, for their time was over",
            advice="its document still has the summary; replay the job while its input is there",
        )


def _unknown_format(name: str, formats: list[str]) -> Problem:
    return Problem("format.unknown", f"no format {name[:20]!r} for this job", formats=formats)


@bp.get("/<job_id>/events")
@scope("read")
@bp.output(FileSchema(type="string", format="binary"), content_type="text/event-stream")
def get_events(job_id: str) -> Response:
    """Follow a job as server-sent events: `state`, `progress`, and `end` with the whole document.

    A comment comes every 15 seconds. After `max_events_seconds` the stream ends: connect again.
    """
    job = own_job(job_id)
    room = services().waiting
    seat = room.sit()
    if seat is None:
        raise Problem("streams.busy", "poll with ?wait= instead", headers={"Retry-After": "2"})
    events = job_events(
        room,
        job,
        view_job,
        seconds=services().settings.max_events_seconds,
        last_id=request.headers.get("Last-Event-ID"),
    )
    response = Response(stream_with_context(events), content_type="text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"
    # at the end, on a fault, and when the client goes away
    response.call_on_close(seat.leave)
    return response
