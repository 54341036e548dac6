"""Every rule: histories that keep it pass, and one that breaks it is caught by that rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.faults.checker import RULES, Verdict, Violation, check
from bench.faults.history import Event
from tests.unit.faults.histories import WAYS, Kill, Seen, Sound, sound

MADE = sound()
STILL, KILLED, VIDEO, REPLAYED, AFRESH = MADE.history.jobs


def judged(made: Sound, **given: Any) -> Verdict:
    return check(made.history, **(made.given() | given))


def event(made: Sound, job_id: str, kind: str, nth: int = 0) -> Event:
    return [one for one in made.history.events[job_id] if one.kind == kind][nth]


def test_jobs_that_went_every_way_of_the_protocol_keep_every_promise() -> None:
    verdict = judged(sound())
    assert verdict.held, str(verdict)
    assert verdict.counts["jobs"] == 5
    assert verdict.counts["executions"] == 18
    assert verdict.counts["objects"] == 5
    assert "every promise kept" in str(verdict)


def lose_a_job(made: Sound) -> None:
    for of_kind in (made.history.jobs, made.history.segments, made.history.events):
        del of_kind[STILL]
    made.samples = []


def answer_one_key_with_two_jobs(made: Sound) -> None:
    made.acknowledged[f"key of {STILL}"].add(KILLED)


def make_a_job_that_nobody_asked_for(made: Sound) -> None:
    del made.acknowledged[f"key of {STILL}"]


def leave_a_job_running(made: Sound) -> None:
    made.change_event(event(made, STILL, "succeeded"))
    made.change_job(STILL, state="running")


def end_twice(made: Sound) -> None:
    end = event(made, STILL, "succeeded")
    made.change_event(end, end, end._replace(kind="canceled"))


def die_of_nothing(made: Sound) -> None:
    made.change_event(event(made, AFRESH, "buried"))


def go_on_after_the_end(made: Sound) -> None:
    end = event(made, STILL, "succeeded")
    made.change_event(end, end, end._replace(kind="queued"))


def replay_what_has_not_ended(made: Sound) -> None:
    made.change_event(event(made, REPLAYED, "canceled"))


def skip_a_run(made: Sound) -> None:
    again = event(made, AFRESH, "replayed")
    made.change_event(again, again._replace(run=3))


def claim_what_is_held(made: Sound) -> None:
    made.change_event(event(made, KILLED, "lost"))


def claim_what_is_done(made: Sound) -> None:
    claim, done = event(made, REPLAYED, "claimed", 1), event(made, REPLAYED, "done")
    made.change_event(done, done, claim._replace(claim_id="another"))


def run_a_kept_segment_again(made: Sound) -> None:
    claim, again = event(made, REPLAYED, "claimed", 1), event(made, REPLAYED, "replayed")
    made.change_event(again, again, claim._replace(claim_id="another", run=2))


def accept_twice(made: Sound) -> None:
    done = event(made, VIDEO, "done")
    made.change_event(done, done, done._replace(at=done.at + 0.1))


def accept_of_a_replaced_claim(made: Sound) -> None:
    refused = event(made, KILLED, "refused")
    made.change_event(refused, refused._replace(kind="done", data=None))


def accept_of_a_stranger(made: Sound) -> None:
    done = event(made, KILLED, "done")
    made.change_event(done, done._replace(claim_id="nobody's"))


def accept_in_an_earlier_run(made: Sound) -> None:
    done = event(made, REPLAYED, "done", 1)
    made.change_event(done, done._replace(run=1))


def accept_after_a_give_back(made: Sound) -> None:
    back = event(made, STILL, "given_back")
    made.change_event(back, back, back._replace(kind="rejected"))


def lose_without_a_kill(made: Sound) -> None:
    made.kills = [
        kill for kill in made.kills if KILLED in MADE.history.jobs and kill.at > event(made, VIDEO, "lost").at - 1
    ]


def kill_another_worker(made: Sound) -> None:
    made.kills = [Kill(kill.at, ("somebody",)) for kill in made.kills]


def kill_only_later(made: Sound) -> None:
    made.kills = [Kill(kill.at + 100, kill.worker_ids) for kill in made.kills]


def merge_early(made: Sound) -> None:
    merging, done = event(made, VIDEO, "merging"), event(made, VIDEO, "done", 1)
    made.change_event(merging)
    made.change_event(done, merging, done)


def merge_twice(made: Sound) -> None:
    merging = event(made, VIDEO, "merging")
    made.change_event(merging, merging, merging._replace(segment_id="another"))


def succeed_with_a_gap(made: Sound) -> None:
    made.change_job(VIDEO, missing=())


def succeed_without_summary(made: Sound) -> None:
    made.change_job(STILL, summed_up=False)


def succeed_without_the_merge(made: Sound) -> None:
    made.change_event(event(made, VIDEO, "done", 2))


def lose_an_object(made: Sound) -> None:
    made.store.digests.popitem()


def lose_inline_rows(made: Sound) -> None:
    made.change_segment(f"{STILL}/s", inline_sha256=None)


def change_an_object(made: Sound) -> None:
    made.store.digests = dict.fromkeys(made.store.digests, "0" * 64)


def change_inline_rows(made: Sound) -> None:
    made.change_segment(f"{STILL}/s", inline_sha256="0" * 64)


def name_another_claims_object(made: Sound) -> None:
    done = event(made, KILLED, "done")
    key = str((done.data or {})["rows_key"]).replace("c2", "c1")
    made.store.digests[key] = str((done.data or {})["sha256"])
    made.change_event(done, done._replace(data={**(done.data or {}), "rows_key": key}))
    made.change_segment(f"{KILLED}/s", rows_key=key)


def put_another_result_into_the_row(made: Sound) -> None:
    made.change_segment(f"{STILL}/s", rows_sha256="0" * 64, inline_sha256="0" * 64)


def lack_a_row(made: Sound) -> None:
    made.expected_rows[STILL] = 2


def say_another_state(made: Sound) -> None:
    made.change_job(STILL, state="failed")


def say_another_run(made: Sound) -> None:
    made.change_job(STILL, run=2)


def count_other_attempts(made: Sound) -> None:
    made.change_job(STILL, attempts=0)


def count_other_segments(made: Sound) -> None:
    made.change_job(VIDEO, segments_left=1)


def count_other_frames(made: Sound) -> None:
    made.change_job(VIDEO, frames=3)
    made.expected_rows = {}


def leave_a_segment_open(made: Sound) -> None:
    made.change_segment(f"{KILLED}/s", state="ready")


def forget_the_submission(made: Sound) -> None:
    made.change_event(event(made, STILL, "submitted"))


def lose_a_segment(made: Sound) -> None:
    made.history.segments[VIDEO] = [row for row in made.history.segments[VIDEO] if row.kind != "plan"]


def answer_with_another_end(made: Sound) -> None:
    made.samples.append(Seen(50, 51, STILL, 1, "failed", True, 0.5))


def answer_with_a_run_that_never_was(made: Sound) -> None:
    made.samples.append(Seen(50, 51, STILL, 2, "queued", False, 0.0))


def call_an_end_no_end(made: Sound) -> None:
    made.samples.append(Seen(50, 51, STILL, 1, "succeeded", False, 1.0))


def answer_complete_before_the_end(made: Sound) -> None:
    made.samples.append(Seen(0.1, 0.2, STILL, 1, "queued", False, 1.0))


def answer_for_a_job_that_is_not_there(made: Sound) -> None:
    made.samples.append(Seen(50, 51, "nobody", 1, "queued", False, 0.0))


def show_an_end_and_then_none(made: Sound) -> None:
    made.samples.append(Seen(50, 51, STILL, 1, "running", False, 0.5))


def show_an_earlier_run(made: Sound) -> None:
    made.samples.append(Seen(50, 51, REPLAYED, 1, "canceled", True, 0.5))


def show_less_progress(made: Sound) -> None:
    made.samples = [
        Seen(1, 2, STILL, 1, "running", False, 0.5),
        Seen(3, 4, STILL, 1, "running", False, 0.4),
    ]


BROKEN: dict[str, list[Callable[[Sound], None]]] = {
    "job.lost": [lose_a_job],
    "job.doubled": [answer_one_key_with_two_jobs],
    "job.stranger": [make_a_job_that_nobody_asked_for],
    "job.unended": [leave_a_job_running],
    "end.twice": [end_twice],
    "end.unfounded": [die_of_nothing],
    "terminal.left": [go_on_after_the_end],
    "replay.unended": [replay_what_has_not_ended, skip_a_run],
    "claim.overlap": [claim_what_is_held],
    "claim.again": [claim_what_is_done, run_a_kept_segment_again],
    "finish.twice": [accept_twice],
    "finish.replaced": [accept_of_a_replaced_claim],
    "finish.unheld": [accept_of_a_stranger, accept_in_an_earlier_run, accept_after_a_give_back],
    "executions.excess": [lose_without_a_kill, kill_another_worker, kill_only_later],
    "merge.wrong": [merge_early, merge_twice],
    "success.gap": [succeed_with_a_gap, succeed_without_summary, succeed_without_the_merge],
    "result.missing": [lose_an_object, lose_inline_rows],
    "result.corrupt": [change_an_object, change_inline_rows],
    "result.foreign": [name_another_claims_object, put_another_result_into_the_row],
    "result.short": [lack_a_row],
    "books.disagree": [
        say_another_state, say_another_run, count_other_attempts, count_other_segments, count_other_frames,
        leave_a_segment_open, forget_the_submission, lose_a_segment,
    ],
    "answer.wrong": [
        answer_with_another_end, answer_with_a_run_that_never_was, call_an_end_no_end, answer_complete_before_the_end,
        answer_for_a_job_that_is_not_there,
    ],
    "state.went_back": [show_an_end_and_then_none, show_an_earlier_run],
    "progress.fell": [show_less_progress],
}  # fmt: skip
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


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[Sound, str]:
    """Some jobs, and one thing wrong with one of them."""
    made = sound(draw(st.lists(st.sampled_from(WAYS), min_size=1, max_size=6)))
    kind = draw(st.sampled_from(sorted(SPOILERS)))
    targets = [one for one in made.history.all_events() if SPOILERS[kind][0](one)]
    if not targets:
        kind = "drop an end"
        targets = [one for one in made.history.all_events() if SPOILERS[kind][0](one)]
    chosen = draw(st.sampled_from(targets))
    SPOILERS[kind][1](made, chosen)
    return made, f"{kind}: {chosen}"


def _swap(made: Sound, one: Event) -> None:
    made.change_event(one, one._replace(claim_id="another"))


def _drop(made: Sound, one: Event) -> None:
    made.change_event(one)


def _double(made: Sound, one: Event) -> None:
    made.change_event(one, one, one)


def _alter_hash(made: Sound, one: Event) -> None:
    made.change_segment(str(one.segment_id), rows_sha256="0" * 64)


def _move_to_the_next_run(made: Sound, one: Event) -> None:
    made.change_event(one, one._replace(run=one.run + 1))


def _bring_forward(made: Sound, one: Event) -> None:
    """To the very beginning, before anything could have led to it."""
    made.change_event(one)
    made.history.events[one.job_id].insert(1, one)


def _told_of_again(one: Event) -> bool:
    """A claim of which a cancel was all that came: no other event names it, so nobody can miss it."""
    return one.kind == "claimed" and not (one.job_id.startswith("replayed") and str(one.claim_id).endswith("c2"))


OUTCOMES = {"done", "retried", "held_up", "given_back", "rejected", "buried"}
ENDS = {"succeeded", "dead", "canceled"}
SPOILERS: dict[str, tuple[Callable[[Event], bool], Callable[[Sound, Event], None]]] = {
    "swap the claim of an outcome": (lambda one: one.kind in OUTCOMES | {"planned", "lost"}, _swap),
    "swap a claim": (_told_of_again, _swap),
    "drop an end": (lambda one: one.kind in ENDS, _drop),
    "drop an outcome": (lambda one: one.kind in OUTCOMES, _drop),
    "drop a claim": (_told_of_again, _drop),
    "drop a plan": (lambda one: one.kind == "planned", _drop),
    "drop a merge": (lambda one: one.kind == "merging", _drop),
    "drop a replay": (lambda one: one.kind == "replayed", _drop),
    "double an outcome": (lambda one: one.kind in OUTCOMES, _double),
    "double an end": (lambda one: one.kind in ENDS, _double),
    "double a claim": (lambda one: one.kind == "claimed", _double),
    "double a merge": (lambda one: one.kind == "merging", _double),
    "alter a hash": (lambda one: one.kind == "done" and one.data is not None, _alter_hash),
    "move an outcome to another run": (lambda one: one.kind in OUTCOMES | ENDS, _move_to_the_next_run),
    "bring an outcome forward": (lambda one: one.kind in OUTCOMES | ENDS, _bring_forward),
}


@settings(max_examples=300, deadline=None)
@given(spoiled())
def test_whatever_is_wrong_with_one_job_among_others_is_found(case: tuple[Sound, str]) -> None:
    made, told = case
    verdict = judged(made)
    assert not verdict.held, told
    assert len({violation.job_id for violation in verdict.violations}) == 1, str(verdict)
