"""A job's timeline: the events that were recorded with every change of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apiflask import APIBlueprint
from flask import Response

from storage.history import KINDS
from web.answers import answer
from web.auth import scope
from web.context import caller, services
from web.errors import Problem
from web.history import EventDocument, HistoryDocument, HistoryQuery
from web.jobviews import own_job

bp = APIBlueprint("history", __name__, url_prefix="/v1/jobs", tag="History")

#: members of an event's data that tell about our insides
_INTERNAL = frozenset({"rows_key"})


@bp.get("/<job_id>/history")
@scope("read")
@bp.input(HistoryQuery, location="query")
@bp.output(HistoryDocument)
def get_history(job_id: str, query_data: HistoryQuery) -> Response:
    """Read what happened to a job, of all its runs, oldest first.

    Claims and workers are named only to a key with scope operate.
    """
    job = own_job(job_id)
    found = services().jobs.events(job.id, after=_event_id(query_data.cursor), limit=query_data.limit + 1)
    events, more = found[: query_data.limit], len(found) > query_data.limit
    return answer(
        HistoryDocument(
            job_id=job.id,
            run=job.run,
            state=job.state,
            events=[_document(event, inside=caller().may("operate")) for event in events],
            next_cursor=str(events[-1]["id"]) if more else None,
        )
    )


def _document(event: Mapping[str, Any], *, inside: bool) -> EventDocument:
    data = event["data"] or {}
    return EventDocument(
        id=str(event["id"]),
        run=event["run"],
        kind=event["kind"],
        meaning=KINDS.get(event["kind"], ""),
        at=event["at"],
        segment=event["segment"],
        data={name: value for name, value in data.items() if inside or name not in _INTERNAL},
        segment_id=event["segment_id"] if inside else None,
        claim_id=event["claim_id"] if inside else None,
        worker_id=event["worker_id"] if inside else None,
    )


def _event_id(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit()) or len(cursor) > 18:
        raise Problem("cursor.invalid", "use next_cursor, or the id of an event")
    return int(cursor)
