"""Which dead letters are meant, which may run again, at what pace, and how long what is kept."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from storage.dead.filter import LOOPING_RUNS, DeadFilter, input_is_gone, refusal
from storage.dead.replay_steps import allowance
from storage.retention import Keep

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "source_url", "deleted_at", "gone"),
    [
        ("inputs/1/source", None, None, False),
        (None, "https://example.org/a.mp4", None, False),
        (None, None, None, True),
        (None, None, NOW, True),
        # it was there once: fetched a second time it might be another
        (None, "https://example.org/a.mp4", NOW, True),
    ],
)
def test_an_input_is_gone_when_it_was_deleted_or_never_was(
    key: str | None, source_url: str | None, deleted_at: datetime | None, *, gone: bool
) -> None:
    assert input_is_gone(key=key, source_url=source_url, deleted_at=deleted_at) is gone


@pytest.mark.parametrize(
    ("gone", "runs", "force", "code"),
    [
        (False, 1, False, None),
        (False, LOOPING_RUNS - 1, False, None),
        (False, LOOPING_RUNS, False, "replay.looping"),
        (False, LOOPING_RUNS + 5, True, None),
        (True, 1, False, "input.gone"),
        (True, LOOPING_RUNS, True, "input.gone"),
    ],
)
def test_a_dead_letter_is_refused_for_want_of_input_and_for_looping_unless_forced(
    *, gone: bool, runs: int, force: bool, code: str | None
) -> None:
    found = refusal(gone=gone, same_error_runs=runs, force=force)
    assert (found.code if found else None) == code


def test_a_filter_survives_the_way_through_a_row() -> None:
    where = DeadFilter(tenant="acme", fingerprint="ab", since=NOW, job_ids=["one", "two"])
    assert DeadFilter.of_json(where.as_json()) == where
    assert DeadFilter.of_json({}) == DeadFilter()


def test_many_ids_are_told_in_short() -> None:
    told = DeadFilter(job_ids=[str(number) for number in range(100)]).summary()
    assert (len(told["job_ids"]), told["job_ids_total"]) == (20, 100)
    assert DeadFilter(job_ids=["1"]).summary() == {"job_ids": ["1"]}
    assert DeadFilter(tenant="acme").summary() == {"tenant": "acme", "all": True}


def test_what_is_given_narrows_and_nothing_else() -> None:
    condition, values = DeadFilter(code="model.failed").conditions()
    assert condition == "j.state = 'dead' AND j.discarded_at IS NULL AND j.error_code = :code"
    assert values == {"code": "model.failed"}


@pytest.mark.parametrize(
    ("unused_seconds", "per_second", "jobs"),
    [
        (1.0, 5.0, 5.0),
        (0.1, 5.0, 0.5),
        (3600.0, 5.0, 10.0),
        (3600.0, 0.1, 1.0),
        (5.0, 0.1, 0.5),
        (-7.0, 5.0, 0.0),
    ],
)
def test_the_pace_makes_up_for_two_seconds_at_most(unused_seconds: float, per_second: float, jobs: float) -> None:
    assert allowance(unused_seconds, per_second) == pytest.approx(jobs)


@pytest.mark.parametrize(
    ("keep", "inputs", "results"),
    [
        (Keep(), 0, 0),
        (Keep(inputs=3, results=5), 3, 5),
        (Keep(inputs=3, results=5, jobs=4), 3, 4),
        (Keep(jobs=4), 4, 4),
    ],
)
def test_nothing_of_a_job_outlives_its_row(keep: Keep, inputs: float, results: float) -> None:
    assert (keep.ordinary_inputs, keep.ordinary_results) == (inputs, results)
