"""Dead letters in the database: grouped, explained, replayed at a pace, discarded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from storage.audit import Actor, Audit
from storage.database import Database
from storage.dead.filter import DeadFilter
from storage.dead.letters import DeadLetters
from storage.dead.replay_orders import NewParams, ReplayOrder, ReplayOrders
from storage.dead.replay_steps import ReplaySteps
from storage.errors import CursorInvalid, ReplayOrderNotFound, StateConflict
from storage.job import Bury, Claim, Done, Fault, JobState, Retry, SegmentPlan
from tests.fakes.sql_queue import SqlQueue, rows_of
from tests.integration.racing import together
from workers.dispatcher.replays import Replays

WANTED: dict[str, Any] = {"lanes": ["cpu"], "size_classes": ["short", "long"], "serves": [("motion", 1), ("other", 1)]}
OPERATOR = Actor("key-1", "ops")
BROKEN = Fault("model.failed", "out of tune at 17", stage="infer", worker="anna", stack='File "m.py", line 3, in run')


class Ringer:
    """Counts rings by lane."""

    def __init__(self) -> None:
        self.rung: list[tuple[str, str, int]] = []

    def ring(self, lane: str, size_class: str, count: int = 1) -> None:
        self.rung.append((lane, size_class, count))

    def heard(self, timeout_seconds: float) -> bool:
        return True


class Morgue:
    """A queue whose jobs die, and who looks after them."""

    def __init__(self, database: Database) -> None:
        self.queue = SqlQueue(database)
        self.queue.register("worker")
        self.dead = DeadLetters(database)
        self.orders = ReplayOrders(database)
        self.audit = Audit(database)
        self.steps = ReplaySteps(database)
        self.ringer = Ringer()
        self.told: list[str] = []
        self.duty = Replays(self.steps, self.ringer, tell=self.told.append)

    def bury_next(self, fault: Fault = BROKEN) -> str:
        """Let the next job die; return its id."""
        claim = self.take()
        self.queue.finish(claim, [Bury(claim.segments[0].id, fault)])
        return claim.segments[0].job_id

    def take(self) -> Claim:
        claim = self.queue.claim("worker", limit=1, **WANTED)
        assert claim is not None
        return claim

    def buried(self, fault: Fault = BROKEN, **fields: Any) -> str:
        """A job that has died."""
        job_id = self.queue.add_job(**fields)
        assert self.bury_next(fault) == job_id
        return job_id

    def order(self, where: DeadFilter | None = None, **fields: Any) -> ReplayOrder:
        given: dict[str, Any] = {"params": None, "force": False, "per_second": 1000.0, "by": OPERATOR}
        return self.orders.create(where or DeadFilter(), **(given | fields))

    def run(self, order: ReplayOrder) -> ReplayOrder:
        """Carry an order out until it is over, however slow it is meant to be."""
        for _ in range(100):
            self.later(order, 10)
            self.duty.run_pass()
            found = self.orders.get(order.id, None)
            if found.state != "running":
                return found
        raise AssertionError(f"still running: {found}")

    def later(self, order: ReplayOrder, seconds: float) -> None:
        """Let time pass for an order's pace."""
        statement = "UPDATE replay_orders SET paced_at = paced_at - :by WHERE id = CAST(:id AS uuid)"
        self.queue.execute(statement, id=order.id, by=timedelta(seconds=seconds))

    def states(self, job_ids: Sequence[str]) -> list[JobState]:
        return [self.queue.job(job_id).state for job_id in job_ids]

    def actions(self) -> list[str]:
        return [entry.action for entry in self.audit.page(cursor=None, limit=100).entries]


@pytest.fixture
def morgue(database: Database) -> Morgue:
    return Morgue(database)


# look


def test_dead_letters_are_grouped_by_their_error_whatever_its_numbers(morgue: Morgue) -> None:
    first = morgue.buried()
    second = morgue.buried(Fault("model.failed", "out of tune at 23", stage="infer", stack=BROKEN.stack), tenant="beta")
    other = morgue.buried(Fault("worker.lost", "gone"), pipeline="other")
    morgue.queue.add_job()
    found = morgue.dead.groups(DeadFilter())
    assert (found.groups_total, found.jobs_total) == (2, 3)
    large, small = found.groups
    assert (large.code, large.message, large.jobs) == ("model.failed", "out of tune at 23", 2)
    assert (list(large.pipelines), list(large.tenants)) == (["motion"], ["beta", "tenant"])
    assert list(large.example_job_ids) == [second, first]
    assert large.first_at < large.last_at
    assert (small.code, list(small.pipelines), list(small.example_job_ids)) == ("worker.lost", ["other"], [other])


@pytest.mark.parametrize(
    ("narrow", "found"),
    [
        ({"pipeline": "other"}, {"lost"}),
        ({"code": "model.failed"}, {"broken", "foreign"}),
        ({"tenant": "beta"}, {"foreign"}),
        ({"tenant": "beta", "code": "worker.lost"}, set()),
        ({}, {"broken", "foreign", "lost"}),
    ],
)
def test_filters_narrow_groups_and_pages_alike(morgue: Morgue, narrow: dict[str, str], found: set[str]) -> None:
    names = {
        morgue.buried(): "broken",
        morgue.buried(tenant="beta"): "foreign",
        morgue.buried(Fault("worker.lost", "gone"), pipeline="other"): "lost",
    }
    where = DeadFilter(**narrow)
    assert {names[job.id] for job in morgue.dead.page(where, cursor=None, limit=10).jobs} == found
    assert morgue.dead.groups(where).jobs_total == len(found)


def test_a_window_of_time_takes_its_start_in_and_leaves_its_end_out(morgue: Morgue) -> None:
    jobs = [morgue.buried() for _ in range(3)]
    at = [morgue.queue.job(job_id).finished_at for job_id in jobs]
    page = morgue.dead.page(DeadFilter(since=at[1], until=at[2]), cursor=None, limit=10)
    assert [job.id for job in page.jobs] == [jobs[1]]


def test_pages_go_on_where_the_last_one_ended(morgue: Morgue) -> None:
    jobs = [morgue.buried() for _ in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        page = morgue.dead.page(DeadFilter(), cursor=cursor, limit=2)
        seen += [job.id for job in page.jobs]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == sorted(jobs, reverse=True)
    with pytest.raises(CursorInvalid):
        morgue.dead.page(DeadFilter(), cursor="elsewhere", limit=2)


def test_a_dead_letter_names_the_segment_that_broke_and_its_last_errors(morgue: Morgue) -> None:
    job_id = morgue.queue.add_job(size_class="long")
    claim = morgue.take()
    plans = [SegmentPlan(100 * index, 100 * index + 100, 7) for index in range(3)]
    morgue.queue.plan(claim, claim.segments[0].id, plans, media={"kind": "video"})
    first = morgue.take()
    morgue.queue.finish(first, [Done(first.segments[0].id, rows_of(7))])
    for number in range(2):
        again = morgue.take()
        fault = Fault("model.failed", f"try {number}", worker=f"worker-{number}", stack=f"stack {number}")
        assert again.segments[0].index == 1
        morgue.queue.finish(again, [Retry(again.segments[0].id, fault, delay_seconds=0, charged=True)])
        morgue.queue.execute("UPDATE segments SET tag = 0 WHERE index = 1 AND kind = 'infer'")
    morgue.bury_next()
    (letter,) = morgue.dead.page(DeadFilter(), cursor=None, limit=10).jobs
    assert letter.id == job_id
    assert letter.segment is not None
    assert (letter.segment.index, letter.segment.kind, letter.segment.frames) == (1, "infer", 7)
    assert (letter.segment.start_pts, letter.segment.end_pts) == (100, 200)
    told = [(error["message"], error["worker"], error["stack"]) for error in letter.errors]
    assert told == [
        ("try 0", "worker-0", "stack 0"), ("try 1", "worker-1", "stack 1"), (BROKEN.message, "anna", BROKEN.stack),
    ]  # fmt: skip
    assert (letter.input_state, letter.refusal) == ("stored", None)


# replay


def test_an_order_replays_what_was_dead_when_it_was_given_and_rings(morgue: Morgue) -> None:
    jobs = [morgue.buried() for _ in range(3)]
    order = morgue.order()
    late = morgue.buried()
    done = morgue.run(order)
    assert (done.state, done.replayed, done.skipped, done.refused) == ("finished", 3, 0, 0)
    assert morgue.states([*jobs, late]) == [JobState.QUEUED] * 3 + [JobState.DEAD]
    assert morgue.ringer.rung == [("cpu", "short", 3)]
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


# discard


def test_discarded_letters_leave_the_lists_and_no_order_finds_them(morgue: Morgue) -> None:
    jobs = [morgue.buried() for _ in range(3)]
    kept = morgue.buried(Fault("worker.lost", "gone"))
    assert morgue.dead.discard(DeadFilter(code="model.failed"), by=OPERATOR) == 3
    assert morgue.dead.discard(DeadFilter(code="model.failed"), by=OPERATOR) == 0
    assert [job.id for job in morgue.dead.page(DeadFilter(), cursor=None, limit=5).jobs] == [kept]
    assert morgue.run(morgue.order()).replayed == 1
    job = morgue.queue.job(jobs[0])
    assert (job.state, job.discarded_by) == (JobState.DEAD, "key-1")
    events = [event["kind"] for event in morgue.queue.store.events(jobs[0])]
    assert events[-1] == "discarded"
    (_, entry) = [one for one in morgue.audit.page(cursor=None, limit=9).entries if one.action == "dead.discard"]
    assert (entry.by, entry.tenant, entry.target) == (
        "key-1", "ops", {"filter": {"code": "model.failed"}, "discarded": 3},
    )  # fmt: skip


def test_discarding_goes_on_chunk_by_chunk(morgue: Morgue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.dead.discarding.CHUNK", 2)
    for _ in range(5):
        morgue.buried()
    assert morgue.dead.discard(DeadFilter(), by=OPERATOR) == 5
    assert morgue.dead.groups(DeadFilter()).jobs_total == 0


def test_a_discarded_job_that_is_replayed_by_its_id_and_dies_again_is_listed_again(morgue: Morgue) -> None:
    job_id = morgue.buried()
    morgue.dead.discard(DeadFilter(job_ids=[job_id]), by=OPERATOR)
    morgue.queue.store.replay(job_id)
    assert morgue.queue.job(job_id).discarded_at is None
    morgue.bury_next()
    assert [job.id for job in morgue.dead.page(DeadFilter(), cursor=None, limit=5).jobs] == [job_id]


def test_discard_and_order_at_once_leave_each_job_to_one_of_them(morgue: Morgue) -> None:
    for _ in range(10):
        jobs = [morgue.buried() for _ in range(3)]
        order = morgue.order()
        morgue.later(order, 10)
        together(
            partial(morgue.steps.step, order.id), partial(morgue.dead.discard, DeadFilter(job_ids=jobs), by=OPERATOR)
        )
        for job_id in jobs:
            job = morgue.queue.job(job_id)
            assert (job.state is JobState.QUEUED) == (job.discarded_at is None)
            morgue.queue.cancel(job_id)
