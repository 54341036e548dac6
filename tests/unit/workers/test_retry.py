"""The retry decision, as a table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.errors import (
    CageError,
    CageUnavailable,
    DeviceOutOfMemory,
    MediaError,
    ModelError,
    ModelUnavailable,
    ParamsError,
)
from storage.errors import DatabaseUnavailable, ObjectNotFound, ObjectStoreFull, ObjectStoreUnavailable
from storage.job import Bury, Failed, Outcome, Retry
from tests.unit.workers.segments_made import segment
from workers.retry import (
    TimedOut,
    backoff_seconds,
    concerns_everyone,
    decide,
    describe,
    rests_the_worker,
    spread_blame,
)
from workers.scratch import ScratchUnavailable

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
HUNG = CageError("no answer", code="cage.hung")
BLOATED = CageError("needs more memory", code="cage.memory", advice="Send a smaller version.")


def brief(outcome: Outcome) -> tuple[object, ...]:
    """Kind, code, and for retries charged, solo and delay."""
    if isinstance(outcome, Retry):
        return Retry, outcome.fault.code, outcome.charged, outcome.solo, outcome.delay_seconds
    assert isinstance(outcome, Failed | Bury)
    return type(outcome), outcome.fault.code


@pytest.mark.parametrize(
    ("error", "changes", "expected"),
    [
        (MediaError("no stream", code="media.empty"), {}, (Failed, "media.empty")),
        (ParamsError("no such model", code="model.unknown"), {}, (Failed, "model.unknown")),
        (ObjectNotFound("inputs/x"), {}, (Failed, "input.gone")),
        (HUNG, {}, (Retry, "cage.hung", True, True, 0.0)),
        (HUNG, {"attempts": 1, "solo": True}, (Failed, "cage.hung")),
        (HUNG, {"attempts": 1, "solo": False}, (Retry, "cage.hung", True, True, 0.0)),
        (HUNG, {"max_attempts": 1}, (Failed, "cage.hung")),
        (BLOATED, {}, (Retry, "cage.memory", True, True, 0.0)),
        (BLOATED, {"attempts": 1, "solo": True}, (Failed, "cage.memory")),
        (ModelError("wrong shape"), {}, (Retry, "model.failed", True, False, 1.0)),
        (ModelError("wrong shape"), {"attempts": 3, "max_attempts": 9}, (Retry, "model.failed", True, False, 8.0)),
        (DeviceOutOfMemory("full"), {}, (Retry, "device.out_of_memory", True, True, 1.0)),
        (TimedOut("an hour"), {}, (Retry, "job.timed_out", True, True, 1.0)),
        (RuntimeError("boom"), {}, (Retry, "worker.error", True, False, 1.0)),
        (MemoryError(), {}, (Retry, "worker.error", True, False, 1.0)),
        (ObjectStoreUnavailable("503"), {}, (Retry, "storage.unavailable", False, False, 17.5)),
        (DatabaseUnavailable("away"), {}, (Retry, "database.unavailable", False, False, 17.5)),
        (ModelUnavailable("no network"), {"attempts": 2}, (Retry, "model.unavailable", False, False, 17.5)),
        (
            ObjectStoreUnavailable("503"),
            {"held_up_since": NOW - timedelta(hours=23, minutes=59), "holdups": 500},
            (Retry, "storage.unavailable", False, False, 17.5),
        ),
        (
            ObjectStoreUnavailable("503"),
            {"held_up_since": NOW - timedelta(hours=24), "holdups": 10},
            (Bury, "storage.unavailable"),
        ),
        (
            ObjectStoreUnavailable("503"),
            {"held_up_since": NOW - timedelta(hours=30), "holdups": 1},
            (Retry, "storage.unavailable", False, False, 17.5),
        ),
        (ObjectStoreFull("no space"), {}, (Retry, "storage.full", False, False, 17.5)),
        (ScratchUnavailable("no space"), {}, (Retry, "scratch.unavailable", False, False, 17.5)),
        (CageUnavailable("no memory"), {"attempts": 2, "solo": True}, (Retry, "cage.unavailable", False, False, 17.5)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_every_error_has_its_outcome(
    error: Exception, changes: dict[str, object], expected: tuple[object, ...]
) -> None:
    assert brief(decide(error, segment(**changes), NOW, chance=lambda: 0.5)) == expected


def test_backoff_doubles_is_jittered_and_capped() -> None:
    assert [backoff_seconds(failures, lambda: 1.0) for failures in (0, 1, 2, 9, 500)] == [2, 4, 8, 600, 600]
    assert backoff_seconds(3, lambda: 0.0) == 0.0


def test_a_fault_of_ours_keeps_its_stack_and_an_input_fault_its_advice() -> None:
    def breaks() -> None:
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError) as caught:
        breaks()
    fault = describe(caught.value, worker="w1")
    assert fault.message == "RuntimeError: boom"
    assert "in breaks" in (fault.stack or "")
    assert fault.worker == "w1"
    media = describe(MediaError("too long", advice="cut it"))
    assert (media.advice, media.stack) == ("cut it", None)


def test_a_failed_decoder_comes_with_advice() -> None:
    outcome = decide(HUNG, segment(attempts=1, solo=True), NOW)
    assert isinstance(outcome, Failed)
    assert outcome.fault.advice


def test_company_in_a_fault_is_run_again_alone_and_not_charged() -> None:
    assert brief(spread_blame(RuntimeError("boom"), segment())) == (Retry, "worker.error", False, True, 0.0)


@pytest.mark.parametrize(
    ("error", "everyone", "rests"),
    [
        (ObjectStoreUnavailable("503"), True, True),
        (DatabaseUnavailable("away"), True, True),
        (ScratchUnavailable("no space"), True, True),
        (CageUnavailable("no memory"), True, True),
        (ModelUnavailable("no network"), True, False),  # other pipelines may go on
        (ObjectNotFound("x"), False, False),
        (ModelError("x"), False, False),
        (HUNG, False, False),
        (TimedOut("an hour"), False, False),
    ],
)
def test_only_the_infrastructure_concerns_everyone(error: Exception, everyone: bool, rests: bool) -> None:
    assert (concerns_everyone(error), rests_the_worker(error)) == (everyone, rests)
