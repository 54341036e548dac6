"""An order replays dead letters at its pace, each once, and names what it refused."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from storage.dead.filter import DeadFilter
from storage.dead.replay_orders import NewParams
from storage.dead.replay_steps import ReplaySteps
from storage.errors import ReplayOrderNotFound, StateConflict
from storage.job import Fault, JobState
from tests.integration.dead_letters.morgue import BROKEN, OPERATOR, Morgue
from tests.integration.racing import together


def test_an_order_replays_what_was_dead_when_it_was_given_and_rings(morgue: Morgue) -> None:
    jobs = [morgue.buried() for _ in range(3)]
    order = morgue.order()
    late = morgue.buried()
    done = morgue.run(order)
    assert (done.state, done.replayed, done.skipped, done.refused) == ("finished", 3, 0, 0)
    assert morgue.states([*jobs, late]) == [JobState.QUEUED] * 3 + [JobState.DEAD]
    assert morgue.bell.rung == [("cpu", "short", 3)]
    assert sorted(morgue.told) == sorted(jobs)
    (event,) = [one for one in morgue.queue.store.events(jobs[0]) if one["kind"] == "replayed"]
    assert (event["data"]["order"], event["data"]["from"]) == (order.id, "dead")


def test_no_more_jobs_a_second_start_again_than_were_ordered(morgue: Morgue) -> None:
    jobs = [morgue.buried() for _ in range(6)]
    order = morgue.order(per_second=2.0)
    # the order's clock stands still but for what the test lets pass
    frozen = "UPDATE replay_orders SET paced_at = clock_timestamp() + :by"
    counts = []
    for seconds in (0.0, 0.4, 0.5, 1.0, 60.0):
        morgue.queue.execute(frozen, by=timedelta(seconds=-seconds))
        morgue.steps.step(order.id)
        counts.append(morgue.orders.get(order.id, None).replayed)
    assert counts == [0, 0, 1, 3, 6]
    assert set(morgue.states(jobs)) == {JobState.QUEUED}


def test_two_dispatchers_together_keep_the_pace_and_replay_nothing_twice(morgue: Morgue) -> None:
    jobs = [morgue.buried() for _ in range(12)]
    order = morgue.order(per_second=1000.0)
    morgue.later(order, 10)
    steps = together(*[partial(ReplaySteps(morgue.queue.database, chunk=4).step, order.id) for _ in range(4)])
    done = morgue.run(order)
    replayed = [job_id for step in steps for job_id in step.replayed] + morgue.told
    assert sorted(replayed) == sorted(jobs)
    assert done.replayed == 12
    assert {morgue.queue.job(job_id).run for job_id in jobs} == {2}


def test_a_step_that_is_cut_off_before_its_commit_leaves_nothing_half_done(morgue: Morgue) -> None:
    jobs = [morgue.buried() for _ in range(4)]
    order = morgue.order()
    morgue.later(order, 10)

    class CutOff(Exception):
        pass

    class Cutting(ReplaySteps):
        def _next(self, *given: Any) -> Any:
            yield from super()._next(*given)[:3]
            raise CutOff

    with pytest.raises(CutOff):
        Cutting(morgue.queue.database).step(order.id)
    assert set(morgue.states(jobs)) == {JobState.DEAD}
    assert morgue.run(order).replayed == 4
    assert {morgue.queue.job(job_id).run for job_id in jobs} == {2}


def test_jobs_whose_last_three_runs_ended_alike_are_left_alone_unless_forced(morgue: Morgue) -> None:
    looping, fresh = morgue.buried(), morgue.buried()
    for _ in range(2):
        morgue.queue.store.replay(looping)
        assert morgue.bury_next() == looping
    (group,) = morgue.dead.groups(DeadFilter()).groups
    assert group.same_error_runs == 3
    done = morgue.run(morgue.order())
    assert (done.replayed, done.skipped) == (1, 1)
    assert [(one["job_id"], one["code"]) for one in done.refusals] == [(looping, "replay.looping")]
    assert morgue.states([looping, fresh]) == [JobState.DEAD, JobState.QUEUED]
    assert morgue.run(morgue.order(force=True)).replayed == 1
    assert morgue.queue.job(looping).state is JobState.QUEUED


def test_another_error_in_between_is_no_loop(morgue: Morgue) -> None:
    job_id = morgue.buried()
    for fault in (BROKEN, Fault("worker.lost", "gone"), BROKEN):
        morgue.queue.store.replay(job_id)
        morgue.bury_next(fault)
    assert morgue.queue.job(job_id).same_error_runs == 1
    assert morgue.run(morgue.order()).replayed == 1


def test_a_job_without_its_input_is_refused_and_named(morgue: Morgue) -> None:
    gone, there = morgue.buried(), morgue.buried()
    morgue.queue.execute(
        "UPDATE jobs SET input_key = NULL, input_deleted_at = clock_timestamp() WHERE id = CAST(:id AS uuid)", id=gone
    )
    states = {job.id: job.input_state for job in morgue.dead.page(DeadFilter(), cursor=None, limit=5).jobs}
    assert states == {gone: "deleted", there: "stored"}
    done = morgue.run(morgue.order(force=True))
    assert (done.replayed, done.refused) == (1, 1)
    assert done.refusals == [{"job_id": gone, "code": "input.gone", "message": "its input was deleted"}]


def test_new_params_replace_those_of_jobs_that_they_fit_and_the_others_are_refused(morgue: Morgue) -> None:
    fits, misfit = morgue.buried(), morgue.buried(pipeline="other")
    params = NewParams({"stride": 9}, {"motion": {"params": {"stride": 9, "width": 640}, "batch_key": "new"}})
    done = morgue.run(morgue.order(params=params))
    assert done.params == {"stride": 9}
    assert (done.replayed, done.refused) == (1, 1)
    assert [(one["job_id"], one["code"]) for one in done.refusals] == [(misfit, "params.invalid")]
    assert morgue.queue.job(fits).params == {"stride": 9, "width": 640}
    assert morgue.queue.job(misfit).params == {"stride": 5}


def test_an_order_of_a_tenant_touches_nobody_else(morgue: Morgue) -> None:
    own, foreign = morgue.buried(), morgue.buried(tenant="beta")
    order = morgue.order(DeadFilter(tenant="tenant"))
    assert morgue.run(order).replayed == 1
    assert morgue.states([own, foreign]) == [JobState.QUEUED, JobState.DEAD]
    with pytest.raises(ReplayOrderNotFound):
        morgue.orders.get(order.id, "beta")
    assert morgue.orders.page("beta", cursor=None, limit=5).orders == []


def test_a_canceled_order_replays_nothing_more(morgue: Morgue) -> None:
    jobs = [morgue.buried() for _ in range(3)]
    order = morgue.order(per_second=1.0)
    assert len(morgue.steps.step(order.id).replayed) == 1
    canceled, changed = morgue.orders.cancel(order.id, None, by=OPERATOR)
    assert (canceled.state, canceled.replayed, changed) == ("canceled", 1, True)
    assert morgue.orders.cancel(order.id, None, by=OPERATOR)[1] is False
    morgue.later(order, 100)
    morgue.duty.run_pass()
    assert sorted(morgue.states(jobs)) == [JobState.DEAD, JobState.DEAD, JobState.QUEUED]
    assert morgue.actions() == ["dead.replay.cancel", "dead.replay"]


def test_refusals_are_bounded_but_counted(morgue: Morgue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.dead.replay_steps.REFUSALS_KEPT", 2)
    for _ in range(5):
        morgue.buried()
    morgue.queue.execute("UPDATE jobs SET same_error_runs = 3")
    done = morgue.run(morgue.order())
    assert (done.replayed, done.skipped, len(done.refusals)) == (0, 5, 2)


def test_order_and_owner_at_once_replay_a_job_once(morgue: Morgue) -> None:
    for _ in range(10):
        job_id = morgue.buried()
        order = morgue.order()
        morgue.later(order, 10)
        together(partial(morgue.steps.step, order.id), partial(_try_replay, morgue, job_id))
        job = morgue.queue.job(job_id)
        assert (job.run, job.state) == (2, JobState.QUEUED)
        morgue.queue.cancel(job_id)


def _try_replay(morgue: Morgue, job_id: str) -> None:
    try:
        morgue.queue.store.replay(job_id)
    except StateConflict:  # it came second
        return
