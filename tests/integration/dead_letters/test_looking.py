"""Dead letters in the database: grouped, filtered, paged and explained."""

from __future__ import annotations

import pytest

from storage.dead.filter import DeadFilter
from storage.errors import CursorInvalid
from storage.job import Done, Fault, Retry, SegmentPlan
from tests.fakes.sql_queue import rows_of
from tests.integration.dead_letters.morgue import BROKEN, Morgue


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
