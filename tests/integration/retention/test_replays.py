"""Retention against replays, claims and ends: a run has its input, or does not begin."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from storage.errors import InputGone
from storage.job import Failed, JobState
from storage.retention import Keep
from tests.integration.racing import together
from tests.integration.retention.bed import DAY, FAULT, WANTED, Bed


def test_a_replay_after_its_inputs_time_is_refused_at_once(bed: Bed) -> None:
    job_id = bed.ended(JobState.FAILED, days=31)
    bed.duty.run_pass()
    with pytest.raises(InputGone):
        bed.queue.store.replay(job_id)
    assert bed.queue.job(job_id).state is JobState.FAILED


def test_an_input_that_came_from_a_url_is_not_fetched_a_second_time(bed: Bed) -> None:
    job_id = bed.ended(days=31)
    bed.queue.execute("UPDATE jobs SET input_source_url = 'https://example.org/a.mp4'")
    bed.duty.run_pass()
    with pytest.raises(InputGone):
        bed.queue.store.replay(job_id)


def test_a_replay_after_its_results_time_does_everything_again(bed: Bed) -> None:
    bed.keep(Keep(results=DAY, dead=DAY))
    job_id = bed.ended(JobState.CANCELED, days=2)
    bed.duty.run_pass()
    assert bed.stored(job_id) == ["inputs"]
    job = bed.queue.store.replay(job_id)
    assert (job.results_deleted_at, job.segments_total) == (None, 0)
    bed.end_next(JobState.SUCCEEDED)
    assert bed.stored(job_id) == ["inputs", "results"]
    assert [bool(one.rows) for one in bed.queue.store.segment_results(job_id, 2)] == [True] * 3


def test_retention_and_replay_at_once_leave_a_run_with_its_input_or_no_run(bed: Bed) -> None:
    def replayed(job_id: str) -> bool:
        try:
            bed.queue.store.replay(job_id)
        except InputGone:
            return False
        return True

    for number in range(20):
        job_id = bed.ended((JobState.FAILED, JobState.SUCCEEDED)[number % 2], days=100)
        calls: list[Callable[[], Any]] = [partial(replayed, job_id), bed.duty.run_pass]
        ran, _ = together(*calls)
        bed.duty.run_pass()
        job = bed.queue.job(job_id)
        assert job.terminal != ran
        assert ("inputs" in bed.stored(job_id)) == ran
        assert (job.input_deleted_at is None) == ran
        if ran:
            assert job.results_deleted_at is None
            bed.queue.cancel(job_id)


def test_retention_against_claims_and_ends_never_takes_what_runs(bed: Bed) -> None:
    bed.keep(Keep(inputs=1e-9, results=1e-9, dead=1e-9, jobs=0))
    jobs = [bed.job() for _ in range(12)]

    def work() -> None:
        for _ in range(6):
            claim = bed.queue.claim("worker", limit=1, **WANTED)
            if claim is None:
                continue
            segment = claim.segments[0]
            source = segment.input.key
            assert source is not None
            # in hand and not ended: it must be there
            assert bed.objects.stat(source).size_bytes == 5
            bed.queue.finish(claim, [Failed(segment.id, FAULT)])

    def keep_house() -> None:
        for _ in range(12):
            bed.duty.run_pass()

    together(work, work, keep_house)
    bed.duty.run_pass()
    for job_id in jobs:
        ended = bed.queue.job(job_id).terminal
        assert bed.stored(job_id) == ([] if ended else ["inputs"])
