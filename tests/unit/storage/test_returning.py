"""What an unfinished segment's outcome means, as tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storage.fleet import MAX_LOSSES
from storage.job import Bury, Failed, Fault, GiveBack, JobState, Retry, SegmentKind, SegmentState
from storage.returning import ERRORS_KEPT, HeldSegment, after, after_loss_of_child, after_loss_of_host

FAULT = Fault("device.failed", "it broke")
HELD = HeldSegment(
    id="s",
    job_id="j",
    run=1,
    kind=SegmentKind.INFER,
    state=SegmentState.CLAIMED,
    frames=5,
    attempts=1,
    max_attempts=3,
    holdups=2,
    losses=1,
    claim_size=1,
    claim_id="c",
    worker_id="w",
    errors=[],
)


@pytest.mark.parametrize(
    ("outcome", "state", "attempts", "holdups", "ends"),
    [
        (GiveBack("s"), "ready", 1, 2, None),
        (Failed("s", FAULT), "dead", 1, 2, JobState.FAILED),
        (Bury("s", FAULT), "dead", 1, 2, JobState.DEAD),
        (Retry("s", FAULT, 0.0, charged=True), "ready", 2, 0, None),
        (Retry("s", FAULT, 9.0, charged=True), "waiting", 2, 0, None),
        (Retry("s", FAULT, 9.0, charged=False), "waiting", 1, 3, None),
        (Retry("s", FAULT, 0.0, charged=False), "ready", 1, 3, None),
    ],
)
def test_an_outcome_decides_state_budget_and_end(
    outcome: Retry, state: str, attempts: int, holdups: int, ends: JobState | None
) -> None:
    back = after(HELD, outcome)
    assert (back.state, back.attempts, back.holdups, back.ends) == (state, attempts, holdups, ends)
    assert (back.losses, back.keeps_claim) == (1, False)


def test_the_last_charged_attempt_buries_whatever_the_delay() -> None:
    back = after(replace(HELD, attempts=2), Retry("s", FAULT, 60.0, charged=True))
    assert (back.state, back.attempts, back.charged, back.ends) == ("dead", 3, True, JobState.DEAD)
    assert back.error == FAULT.as_json()


def test_uncharged_retries_never_end_by_themselves() -> None:
    assert after(replace(HELD, attempts=2, holdups=10_000), Retry("s", FAULT, 1.0, charged=False)).ends is None


def test_solo_is_asked_for_by_the_outcome() -> None:
    assert after(HELD, Retry("s", FAULT, 0.0, charged=True, solo=True)).solo
    assert not after(HELD, Retry("s", FAULT, 0.0, charged=True)).solo


def test_the_last_five_errors_are_kept_newest_last() -> None:
    segment = HELD
    for number in range(ERRORS_KEPT + 2):
        back = after(segment, Retry("s", Fault("x.y", str(number)), 0.0, charged=False))
        segment = replace(segment, errors=back.errors)
    assert [error["message"] for error in segment.errors] == ["2", "3", "4", "5", "6"]
    assert after(segment, GiveBack("s")).errors == segment.errors


@pytest.mark.parametrize(
    ("claim_size", "attempts", "charged", "solo", "ends"),
    [
        (1, 0, True, True, None),
        (1, 2, True, False, JobState.DEAD),
        (2, 2, False, True, None),
        (8, 0, False, True, None),
    ],
    ids=["alone", "alone, last attempt", "in company, last attempt", "in company"],
)
def test_a_dead_child_charges_only_what_it_held_alone(
    claim_size: int, attempts: int, charged: bool, solo: bool, ends: JobState | None
) -> None:
    back = after_loss_of_child(replace(HELD, claim_size=claim_size, attempts=attempts), "killed by signal 9")
    assert (back.charged, back.attempts, back.solo, back.ends) == (charged, attempts + charged, solo, ends)
    assert back.keeps_claim == (ends is None)
    assert back.error is not None
    assert (back.error["code"], back.error["worker"]) == ("worker.lost", "w")


@pytest.mark.parametrize(
    ("losses", "ends"), [(0, None), (MAX_LOSSES - 2, None), (MAX_LOSSES - 1, JobState.DEAD), (99, JobState.DEAD)]
)
def test_a_lost_host_charges_nobody_and_buries_at_the_limit(losses: int, ends: JobState | None) -> None:
    back = after_loss_of_host(replace(HELD, attempts=2, losses=losses), "silent", MAX_LOSSES)
    assert (back.charged, back.attempts, back.ends) == (False, 2, ends)
    assert back.keeps_claim == (ends is None)


def test_a_lost_host_makes_a_batch_solo() -> None:
    assert after_loss_of_host(replace(HELD, claim_size=3), "silent", MAX_LOSSES).solo
    assert not after_loss_of_host(HELD, "silent", MAX_LOSSES).solo
