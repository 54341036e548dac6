"""Every rule: histories that keep it pass, and one that breaks it is caught by that rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings

from bench.faults.checker import RULES, Verdict, Violation, check
from tests.unit.faults.broken_histories import (
    BROKEN,
    KILLED,
    STILL,
    accept_of_a_replaced_claim,
    event,
    leave_a_job_running,
    lose_a_job,
    make_a_job_that_nobody_asked_for,
)
from tests.unit.faults.histories import Seen, Sound, sound
from tests.unit.faults.spoiled_histories import spoiled


def judged(made: Sound, **given: Any) -> Verdict:
    return check(made.history, **(made.given() | given))


def test_jobs_that_went_every_way_of_the_protocol_keep_every_promise() -> None:
    verdict = judged(sound())
    assert verdict.held, str(verdict)
    assert verdict.counts["jobs"] == 5
    assert verdict.counts["executions"] == 18
    assert verdict.counts["objects"] == 5
    assert "every promise kept" in str(verdict)


CASES = [(rule, breaking) for rule, several in BROKEN.items() for breaking in several]


@pytest.mark.parametrize(("rule", "breaking"), CASES, ids=[breaking.__name__ for _, breaking in CASES])
def test_a_history_that_breaks_a_rule_is_caught_by_that_rule(rule: str, breaking: Callable[[Sound], None]) -> None:
    made = sound()
    breaking(made)
    verdict = judged(made)
    assert rule in verdict.broken, str(verdict)
    assert RULES.keys() >= verdict.broken.keys()


def test_no_rule_is_without_a_history_that_breaks_it() -> None:
    assert BROKEN.keys() | {"job.remains"} == RULES.keys()


def test_an_erased_job_must_leave_nothing_and_is_not_missed() -> None:
    made = sound()
    assert judged(made, erased={STILL}).broken == {"job.remains": 1}
    lose_a_job(made)
    assert judged(made, erased={STILL}).held
    made.history.events[STILL] = [event(sound(), STILL, "succeeded")]
    assert judged(made, erased={STILL}).broken == {"job.remains": 1}


def test_a_run_cut_short_lists_the_jobs_under_way_instead_of_blaming_them() -> None:
    made = sound()
    leave_a_job_running(made)
    made.samples = []
    made.change_job(STILL, state="queued")
    verdict = judged(made, cut_short=True)
    assert "job.unended" not in verdict.broken
    assert list(verdict.unended) == [STILL]


def test_a_request_that_broke_off_may_have_made_a_job() -> None:
    made = sound()
    make_a_job_that_nobody_asked_for(made)
    assert judged(made, attempted={f"key of {STILL}"}).held
    assert judged(made, attempted=None).held


def test_losses_need_no_explanation_where_nobody_wrote_down_the_kills() -> None:
    made = sound()
    assert judged(made, kills=None).held


def test_the_first_loss_in_company_needs_no_kill_and_the_second_does() -> None:
    """A batch that kills its worker is run again one by one, at nobody's charge; alone it must be explained."""
    made = sound()
    made.kills = made.kills[1:]
    first = event(made, KILLED, "claimed")
    other = event(made, STILL, "claimed")
    assert judged(made).broken == {"executions.excess": 1}
    made.history.events[STILL][:] = [
        one._replace(claim_id=first.claim_id) if one.claim_id == other.claim_id else one
        for one in made.history.events[STILL]
    ]
    assert judged(made).held
    again = event(made, KILLED, "claimed", 1)
    lost = event(made, KILLED, "lost")._replace(claim_id=again.claim_id)
    made.change_event(again, again, lost, again._replace(claim_id=f"{KILLED}/c3"))
    done = event(made, KILLED, "done")
    made.change_event(done, done._replace(claim_id=f"{KILLED}/c3"))
    assert "executions.excess" in judged(made).broken


def test_answers_that_overlap_in_time_may_come_in_any_order() -> None:
    made = sound()
    made.samples = [
        Seen(1.0, 5.0, STILL, 1, "queued", False, 0.2),
        Seen(2.0, 3.0, STILL, 1, "succeeded", True, 1.0),
    ]
    assert judged(made).held


def test_a_violation_names_its_place_and_shows_the_events() -> None:
    made = sound()
    accept_of_a_replaced_claim(made)
    (violation,) = [one for one in judged(made).violations if one.rule == "finish.replaced"]
    assert (violation.job_id, violation.run) == (KILLED, 1)
    assert (violation.segment_id, violation.claim_id) == (f"{KILLED}/s", f"{KILLED}/c1")
    assert [one.kind for one in violation.events] == ["claimed", "done"]
    told = str(violation)
    assert told.startswith("finish.replaced: ")
    assert f"segment {KILLED}/s, claim {KILLED}/c1" in told
    assert "claimed" in told.splitlines()[1]


def test_a_violation_of_a_rule_that_is_not_written_down_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="no rule"):
        Violation("job.unheard", "?")


def test_a_verdict_as_json_keeps_the_first_violations_only() -> None:
    made = sound()
    made.acknowledged |= {f"k{number}": {f"gone-{number}"} for number in range(100)}
    told = judged(made).as_json()
    assert told["held"] is False
    assert told["broken"] == {"job.lost": 100}
    assert len(told["violations"]) == 20
    assert str(judged(made)).endswith("...")


@settings(max_examples=300, deadline=None)
@given(spoiled())
def test_whatever_is_wrong_with_one_job_among_others_is_found(case: tuple[Sound, str]) -> None:
    made, told = case
    verdict = judged(made)
    assert not verdict.held, told
    assert len({violation.job_id for violation in verdict.violations}) == 1, str(verdict)
