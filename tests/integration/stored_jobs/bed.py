"""What tests of stored jobs let a worker do."""

from __future__ import annotations

from typing import Any

from storage.job import Claim, Done, Fault, SegmentPlan
from tests.fakes.sql_queue import SqlQueue, rows_of

WANTED: dict[str, Any] = {"lanes": ["cpu"], "size_classes": ["short", "long"], "serves": [("motion", 1)]}
FAULT = Fault("device.failed", "it broke")


def take(queue: SqlQueue) -> Claim:
    found = queue.claim("worker", limit=1, **WANTED)
    assert found is not None
    return found


def split(queue: SqlQueue, parts: int, **fields: Any) -> str:
    job_id = queue.add_job(size_class="long", **fields)
    found = take(queue)
    plans = [SegmentPlan(10 * index, 10 * index + 10, 5) for index in range(parts)]
    queue.plan(found, found.segments[0].id, plans, media={"kind": "video"}, warnings=[{"code": "media.damaged"}])
    return job_id


def finish(queue: SqlQueue, **fields: Any) -> Claim:
    found = take(queue)
    queue.finish(found, [Done(found.segments[0].id, rows_of(5), **fields)])
    return found


def kinds(queue: SqlQueue, job_id: str) -> list[str]:
    return [str(event["kind"]) for event in queue.store.events(job_id)]
