"""What tests of claims do to a queue before they come to their point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from storage.job import Claim, Fault, SegmentPlan
from tests.fakes.memory_claims import MemoryClaims
from tests.fakes.sql_queue import SqlQueue

FAULT = Fault("device.failed", "it broke", stage="infer", stack="Traceback ...")
SUMMARY = {"frames": 1}

Queue = MemoryClaims | SqlQueue


def claim(queue: Queue, worker: str = "anna", *, limit: int = 8, **wanted: Any) -> Claim | None:
    given = {"lanes": ["cpu"], "size_classes": ["short", "long"], "serves": [("motion", 1)]} | wanted
    return queue.claim(worker, limit=limit, **given)


def held(queue: Queue, worker: str = "anna", **wanted: Any) -> Claim:
    found = claim(queue, worker, **wanted)
    assert found is not None
    return found


def jobs_of(found: Claim | None) -> list[str]:
    return [segment.job_id for segment in found.segments] if found else []


def plan(queue: Queue, found: Claim, *frames: int) -> Any:
    plans = [SegmentPlan(10 * place, 10 * place + 10, count, 4.0) for place, count in enumerate(frames)]
    return queue.plan(found, found.segments[0].id, plans, media={"kind": "video"})


def infer(queue: Queue, worker: str = "anna", **fields: Any) -> tuple[str, Claim]:
    """A job whose only infer segment this worker holds."""
    job_id = queue.add_job(**fields)
    found = held(queue, worker, limit=1)
    plan(queue, found, 5)
    return job_id, found


def split(queue: Queue, parts: int, **fields: Any) -> str:
    """A long job, cut into ready infer segments."""
    job_id = queue.add_job(size_class="long", **fields)
    assert plan(queue, held(queue), *[5] * parts) is None
    return job_id


def outcomes(kind: Any, found: Claim, *details: Any) -> Sequence[Any]:
    return [kind(segment.id, *details) for segment in found.segments]


def states(queue: Queue, job_id: str) -> list[str]:
    return [f"{segment.kind}:{segment.state}" for segment in queue.segments(job_id)]
