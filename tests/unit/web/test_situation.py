"""Why a job waits, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.job import InputRef, Job, JobState, Priority
from storage.jobs import QueuePlace
from web.shapes import View, etag_of, job_document, public_fault
from web.situation import Scene, eta_seconds, retry_after_seconds, waiting_for

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
BUSY = Scene({("cpu", "short"): 2}, frozenset())


def a_job(**changes: Any) -> Job:
    fields: dict[str, Any] = {
        "id": "01a1fbe2-f542-7884-b08a-7172012f3df9", "tenant": "acme", "run": 1, "state": JobState.QUEUED,
        "pipeline": "motion", "spec_version": 1, "params": {}, "lane": "cpu", "size_class": "short",
        "priority": Priority.NORMAL, "metadata": {}, "input": InputRef(key="k"), "segments_total": 0,
        "segments_left": 0, "progress": 0.0, "stage": None, "attempts": 0, "media": None, "summary": None,
        "warnings": [], "error": None, "timings": {}, "models": [], "frames": 0, "cost_seconds": 4.0, "created_at": NOW,
        "updated_at": NOW, "run_after": None, "expires_at": None, "queued_at": NOW, "started_at": None,
        "finished_at": None, "allow_partial": False, "missing_ranges": [], "webhook_url": None, "batch_id": None,
        "error_fingerprint": None, "same_error_runs": 0, "discarded_at": None, "discarded_by": None,
        "input_deleted_at": None, "results_deleted_at": None, "artifacts": [], "pins": {},
    }  # fmt: skip
    return Job(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "scene", "expected"),
    [
        ({"state": JobState.UPLOADING}, BUSY, "input"),
        ({"run_after": NOW + timedelta(hours=1)}, BUSY, "time"),
        ({"run_after": NOW - timedelta(hours=1)}, BUSY, "turn"),
        ({}, Scene({("cpu", "short"): 1}, frozenset({("pipeline", "motion")})), "resume"),
        ({}, Scene({("cpu", "short"): 1}, frozenset({("lane", "cpu")})), "resume"),
        ({}, Scene({("cpu", "short"): 1}, frozenset({("tenant", "acme")})), "resume"),
        ({}, Scene({("cpu", "short"): 1}, frozenset({("tenant", "other")})), "turn"),
        ({}, Scene({("cpu", "long"): 1, ("gpu", "short"): 1}, frozenset()), "worker"),
        ({}, BUSY, "turn"),
        ({"state": JobState.RUNNING}, BUSY, None),
        ({"state": JobState.DEAD}, BUSY, None),
    ],
)
def test_what_a_job_waits_for(changes: dict[str, Any], scene: Scene, expected: str | None) -> None:
    assert waiting_for(a_job(**changes), scene, NOW) == expected


@pytest.mark.parametrize(
    ("changes", "place", "expected"),
    [
        ({}, QueuePlace(3, True, 10.0), 9.0),  # 10 s of work for two workers, and its own 4
        ({}, None, None),
        ({"lane": "gpu"}, QueuePlace(0, True, 0.0), None),  # nobody there: no promise
        ({"state": JobState.RUNNING, "progress": 0.25, "started_at": NOW - timedelta(seconds=10)}, None, 30.0),
        ({"state": JobState.RUNNING, "progress": 0.0, "started_at": NOW}, None, None),
        ({"state": JobState.SUCCEEDED, "progress": 1.0, "started_at": NOW}, None, None),
    ],
)
def test_the_estimate(changes: dict[str, Any], place: QueuePlace | None, expected: float | None) -> None:
    assert eta_seconds(a_job(**changes), place, BUSY, NOW) == expected


@pytest.mark.parametrize(("eta", "seconds"), [(None, 2), (0.1, 1), (8.0, 2), (4000.0, 10)])
def test_a_client_is_told_to_come_back_in_a_fitting_time(eta: float | None, seconds: int) -> None:
    assert retry_after_seconds(eta) == seconds


def test_the_etag_changes_with_what_a_client_sees_and_not_with_the_estimate() -> None:
    running = {"state": JobState.RUNNING, "started_at": NOW, "progress": 0.5}
    first = job_document(a_job(**running), View("http://x", BUSY))
    assert first.eta_seconds is not None
    later = first.model_copy(update={"eta_seconds": 99.0})
    further = job_document(a_job(**running | {"progress": 0.6}), View("http://x", BUSY))
    assert etag_of(first) == etag_of(later) != etag_of(further)


def test_a_document_of_an_ended_job_tells_no_place_in_the_queue() -> None:
    document = job_document(
        a_job(state=JobState.SUCCEEDED, progress=1.0), View("http://x", BUSY, QueuePlace(3, True, 1))
    )
    assert (document.terminal, document.queue_position, document.eta_seconds) == (True, None, None)


def test_stack_and_worker_stay_inside() -> None:
    fault = {"code": "model.failed", "message": "m", "stack": "Traceback", "worker": "w"}
    assert public_fault(fault) == {"code": "model.failed", "message": "m"}
