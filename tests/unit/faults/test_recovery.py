"""How long work lay idle after a kill, from histories made by hand."""

from __future__ import annotations

import math

from bench.faults.checker import percentiles, recovery_seconds
from bench.faults.history import Event, History
from tests.unit.faults.histories import Kill


def history(*events: tuple[float, str, str | None, str | None]) -> History:
    """Events of one job: when, what, segment, worker."""
    told = (
        Event(number, "job", 1, kind, at, segment, worker and f"claim of {worker}", worker)
        for number, (at, kind, segment, worker) in enumerate(events, 1)
    )
    return History.of((), (), told)


def kill(at: float, *workers: str) -> Kill:
    return Kill(at, workers)


def test_time_runs_from_the_kill_to_the_next_claim_not_to_the_loss() -> None:
    told = history((1, "claimed", "s", "a"), (8, "lost", "s", "a"), (12, "claimed", "s", "b"), (20, "done", "s", "b"))
    assert recovery_seconds(told, [kill(5, "a")]) == [7.0]


def test_each_segment_that_the_victim_held_counts_and_no_other() -> None:
    told = history(
        (1, "claimed", "held", "a"),
        (1, "claimed", "finished before", "a"),
        (1, "claimed", "another's", "b"),
        (2, "done", "finished before", "a"),
        (6, "claimed", "held", "b"),
        (7, "claimed", "later", "a"),
        (9, "claimed", "later", "b"),
    )
    assert recovery_seconds(told, [kill(5, "a")]) == [1.0]


def test_a_result_that_was_already_on_its_way_is_a_recovery() -> None:
    assert recovery_seconds(history((1, "claimed", "s", "a"), (5.2, "done", "s", "a")), [kill(5, "a")]) == [
        5.2 - 5
    ]  # fmt: skip


def test_the_end_of_the_job_is_the_end_of_its_segments() -> None:
    told = history((1, "claimed", "s", "a"), (2, "claimed", "t", "a"), (9, "canceled", None, None))
    assert recovery_seconds(told, [kill(5, "a")]) == [4.0, 4.0]


def test_a_segment_that_nobody_came_back_for_is_never_recovered() -> None:
    lost = history((1, "claimed", "s", "a"), (8, "lost", "s", "a"))
    assert recovery_seconds(lost, [kill(5, "a")]) == [math.inf]
    assert recovery_seconds(history((1, "claimed", "s", "a")), [kill(5, "a")]) == [math.inf]


def test_kills_one_after_the_other_are_timed_each_by_itself() -> None:
    told = history(
        (1, "claimed", "s", "a"), (4, "lost", "s", "a"), (6, "claimed", "s", "b"), (9, "lost", "s", "b"),
        (15, "claimed", "s", "c"),
    )  # fmt: skip
    assert recovery_seconds(told, [kill(3, "a"), kill(8, "b")]) == [3.0, 7.0]


def test_a_kill_of_an_idle_worker_costs_nothing() -> None:
    assert recovery_seconds(history((1, "claimed", "s", "a"), (2, "done", "s", "a")), [kill(5, "a", "z")]) == []


def test_percentiles_are_values_that_occurred_and_never_is_none() -> None:
    assert percentiles([float(one) for one in range(1, 101)]) == {
        "count": 100, "never": 0, "p50": 50.0, "p90": 90.0, "p99": 99.0, "max": 100.0,
    }  # fmt: skip
    assert percentiles([1.0, math.inf]) == {
        "count": 2, "never": 1, "p50": 1.0, "p90": None, "p99": None, "max": None,
    }  # fmt: skip
    assert percentiles([])["count"] == 0
