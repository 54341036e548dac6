"""Who decides what becomes of a segment after an error: one pure function."""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from pipeline.errors import (
    CageError,
    CageUnavailable,
    DeviceOutOfMemory,
    InputError,
    ModelError,
    ModelUnavailable,
    PipelineError,
)
from storage.errors import ObjectNotFound, StorageUnavailable
from storage.job import Bury, ClaimedSegment, Failed, Fault, Outcome, Retry

#: charged retries wait up to 2^n seconds (full jitter), never longer than this
BACKOFF_CAP_SECONDS = 600.0
#: faults of the infrastructure are tried again after a time in this range: a thousand workers must not come at once
HOLDUP_SECONDS = (5.0, 30.0)
#: and given up after this long, if it was tried so often: two hiccups a day apart are no outage of a day
HOLDUP_LIMIT = timedelta(hours=24)
HOLDUPS_LEAST = 10
#: faults of the infrastructure; nobody in hand is to blame
INFRASTRUCTURE = (StorageUnavailable, ModelUnavailable, CageUnavailable)
MAX_STACK_CHARACTERS = 8000


class TimedOut(Exception):
    """A claim ran longer than the setting allows."""

    code = "job.timed_out"


def decide(
    error: BaseException,
    segment: ClaimedSegment,
    now: datetime,
    *,
    worker: str | None = None,
    chance: Callable[[], float] = random.random,
) -> Outcome:
    """Return the outcome of ``segment`` after ``error``, which must be this segment's own.

    now: aware UTC. chance: uniform in [0, 1). The storage package ends the job ``dead`` when a charged retry
    reaches ``max_attempts``.
    """
    fault = describe(error, worker=worker)
    if isinstance(error, InputError):
        return Failed(segment.id, fault)
    if isinstance(error, ObjectNotFound):
        gone = replace(fault, code="input.gone", message="the input is no longer in the object store", stack=None)
        return Failed(segment.id, replace(gone, advice="Upload the file again and submit a new job."))
    if isinstance(error, INFRASTRUCTURE):
        return _held_up(segment, fault, now, chance)
    if isinstance(error, CageError):
        return _caged(segment, fault)
    solo = isinstance(error, DeviceOutOfMemory | TimedOut)
    return Retry(segment.id, fault, backoff_seconds(segment.attempts, chance), charged=True, solo=solo)


def spread_blame(error: BaseException, segment: ClaimedSegment, *, worker: str | None = None) -> Outcome:
    """Return the outcome of one of several segments whose claim ran too long, with no time left to find the culprit.

    Run again alone and at once, charged to nobody: then the error is its own.
    """
    return Retry(segment.id, describe(error, worker=worker), 0.0, charged=False, solo=True)


def concerns_everyone(error: BaseException) -> bool:
    """Whether an error says nothing about the segments in hand: the infrastructure's, to be waited out together."""
    return isinstance(error, INFRASTRUCTURE)


def rests_the_worker(error: BaseException) -> bool:
    """Whether an error would meet the next claim too, of whatever pipeline: a store, the database, this machine."""
    return isinstance(error, StorageUnavailable | CageUnavailable)


def backoff_seconds(failures: int, chance: Callable[[], float]) -> float:
    """Full jitter: uniform in [0, 2^n) seconds after the n-th failure (``failures`` earlier ones), capped."""
    return chance() * min(BACKOFF_CAP_SECONDS, 2.0 ** (min(failures, 20) + 1))


def describe(error: BaseException, *, worker: str | None = None) -> Fault:
    """Return what is stored of an error: code, sentence, advice, and a stack where the fault is ours."""
    code = getattr(error, "code", None)
    known = isinstance(code, str)
    ours = not known or isinstance(error, ModelError | DeviceOutOfMemory)
    return Fault(
        code=code if isinstance(code, str) else "worker.error",
        message=str(error) if known else f"{type(error).__name__}: {error}",
        advice=error.advice if isinstance(error, PipelineError) else None,
        stack="".join(traceback.format_exception(error))[-MAX_STACK_CHARACTERS:] if ours else None,
        worker=worker,
    )


def _held_up(segment: ClaimedSegment, fault: Fault, now: datetime, chance: Callable[[], float]) -> Outcome:
    since = segment.held_up_since
    if since is not None and now - since >= HOLDUP_LIMIT and segment.holdups >= HOLDUPS_LEAST:
        return Bury(segment.id, fault)
    low, high = HOLDUP_SECONDS
    return Retry(segment.id, fault, low + chance() * (high - low), charged=False)


def _caged(segment: ClaimedSegment, fault: Fault) -> Outcome:
    """The decoder died on this input: once may be chance, twice on its own is the input's fault."""
    again = segment.solo and segment.attempts >= 1
    if again or segment.attempts + 1 >= segment.max_attempts:
        advice = fault.advice or "The decoder breaks on this file; re-encode it and submit it again."
        return Failed(segment.id, replace(fault, advice=advice))
    return Retry(segment.id, fault, 0.0, charged=True, solo=True)
