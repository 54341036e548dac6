"""Histories that each break one rule, by one change to a sound one."""

from __future__ import annotations

from collections.abc import Callable

from bench.faults.history import Event
from tests.unit.faults.histories import Kill, Seen, Sound, sound

MADE = sound()
STILL, KILLED, VIDEO, REPLAYED, AFRESH = MADE.history.jobs


def event(made: Sound, job_id: str, kind: str, nth: int = 0) -> Event:
    return [one for one in made.history.events[job_id] if one.kind == kind][nth]


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
    made.kills = [kill for kill in made.kills if kill.at > event(made, VIDEO, "lost").at - 1]


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
