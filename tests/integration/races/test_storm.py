"""Everything at once, for some seconds: nothing deadlocks, and every job ends once."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

from storage.claims import Plan
from storage.errors import StateConflict
from storage.job import Claim, Done, Failed, Fault, GiveBack, Job, JobState, Retry, SegmentPlan
from tests.fakes.sql_queue import SqlQueue, rows_of
from tests.integration.races.bed import SUMMARY, WANTED, done
from tests.integration.racing import together

FAULT = Fault("device.failed", "it broke")
#: of every thread, however slow the machine is
LEAST_STEPS = 10


def test_a_storm_of_everything_at_once_never_deadlocks_and_every_job_ends_once(queue: SqlQueue) -> None:
    made = queue.add_many(40, max_attempts=2) + queue.add_many(10, size_class="long", max_attempts=2)
    made += queue.add_many(20, size_class="long", max_attempts=2, allow_partial=True)
    until = time.monotonic() + 6

    def work(number: int) -> None:
        dice, steps, worker = random.Random(number), 0, f"worker-{number}"
        while steps < LEAST_STEPS or time.monotonic() < until:
            steps += 1
            found = queue.claim(worker, limit=4, **WANTED)
            if found is None:
                continue
            _act(queue, dice, found)

    def disturb(number: int) -> None:
        dice, steps = random.Random(100 + number), 0
        while steps < LEAST_STEPS or time.monotonic() < until:
            steps += 1
            _disturb(queue, dice, dice.choice(made))

    together(*(partial(work, number) for number in range(5)), *(partial(disturb, number) for number in range(2)))
    _finish_all(queue)
    _assert_history_is_sound(queue, made)


def _act(queue: SqlQueue, dice: random.Random, found: Claim) -> None:
    plans = {
        segment.id: Plan([SegmentPlan()] * dice.choice([1, 3]), {})
        for segment in found.segments
        if segment.kind == "plan"
    }
    planned = queue.plan_all(found, plans)
    for segment in found.segments:
        if segment.id in planned.cut | planned.lost:
            continue
        deed = dice.random()
        outcome: Any = Done(segment.id, rows_of(1), SUMMARY)
        if deed < 0.1:
            outcome = Failed(segment.id, FAULT)
        elif deed < 0.3:
            outcome = Retry(segment.id, FAULT, dice.choice([0.0, 1.0]), charged=dice.random() < 0.5)
        elif deed < 0.4:
            outcome = GiveBack(segment.id)
        queue.finish(found, [outcome])


def _disturb(queue: SqlQueue, dice: random.Random, job_id: str) -> None:
    """Whatever clients, operators, dispatchers and dying workers may do."""
    worker = f"worker-{dice.randrange(5)}"
    deed = dice.randrange(6)
    if deed == 0:
        queue.cancel(job_id)
    elif deed == 1:
        queue.lose_child(worker)
        queue.register(worker)
    elif deed == 2:
        queue.lose_host(worker)
        queue.register(worker)
    elif deed == 3:
        progress = {segment.id: (1, 2) for segment in queue.segments(job_id)}
        queue.heartbeat(worker, progress, in_hand=set() if dice.random() < 0.5 else None)
    elif deed == 4:
        queue.pass_time(60)
        queue.upkeep.advance_virtual_time()
    else:
        _replay(queue, dice, job_id)


def _replay(queue: SqlQueue, dice: random.Random, job_id: str) -> None:
    changed = dice.random() < 0.5
    try:
        if changed:
            queue.store.replay(job_id, params={"stride": dice.randrange(9)}, batch_key="alike")
        else:
            queue.store.replay(job_id)
    except StateConflict:
        return


def _finish_all(queue: SqlQueue) -> None:
    """Run what is left to its end, calmly."""
    for number in range(8):
        queue.fleet.leave(f"worker-{number}")
    queue.register("last")
    queue.pass_time(3600)
    while (found := queue.claim("last", limit=8, **WANTED)) is not None:
        for segment in found.segments:
            if segment.kind == "plan":
                queue.plan(found, segment.id, [SegmentPlan()], media={})
        queue.finish(found, done(found, SUMMARY))


def _assert_history_is_sound(queue: SqlQueue, made: Sequence[str]) -> None:
    ends = {"succeeded", "failed", "dead", "canceled"}
    for job_id in made:
        job = queue.job(job_id)
        assert job.terminal, f"{job_id} is {job.state}: {queue.segments(job_id)}"
        history = queue.store.events(job_id, limit=100_000)
        for run in range(1, job.run + 1):
            of_run = [event for event in history if event["run"] == run]
            assert len([event for event in of_run if event["kind"] in ends]) == 1, f"run {run} of {job_id}"
            finished = Counter(event["segment_id"] for event in of_run if event["kind"] == "done")
            assert not finished or max(finished.values()) == 1, f"a segment was done twice in run {run} of {job_id}"
            assert sum(event["kind"] == "merging" for event in of_run) <= 1
        _assert_parts_add_up(queue, job)


def _assert_parts_add_up(queue: SqlQueue, job: Job) -> None:
    parts = [part for part in queue.segments(job.id) if part.run == job.run and part.kind == "infer"]
    missing = sorted(gap["segment"] for gap in job.missing_ranges)
    if job.state is JobState.SUCCEEDED:
        assert job.segments_left == 0
        assert {part.state for part in parts} <= {"done", "dead"}
        assert sum(part.state == "done" for part in parts) == job.segments_total - len(missing) > 0
    if job.allow_partial:
        assert missing == sorted(part.index for part in parts if part.state == "dead" and len(parts) > 1)
    else:
        assert missing == []
