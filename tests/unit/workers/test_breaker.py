"""When a pipeline is left alone, and when it is tried again."""

from __future__ import annotations

import pytest

from workers.breaker import LEAST_OUTCOMES, PAUSE_SECONDS, WINDOW_SECONDS, Breaker, Seen, Way, way


def seen(marks: str, at: float = 100.0) -> list[Seen]:
    """``x`` for held up, ``.`` for anything else."""
    return [Seen(at, mark == "x") for mark in marks]


@pytest.mark.parametrize(
    ("marks", "at", "shut_at", "now", "expected"),
    [
        ("", 100.0, None, 100.0, Way.FREE),
        ("xxx", 100.0, None, 100.0, Way.FREE),  # too few to prove anything
        ("xxxx", 100.0, None, 100.0, Way.SHUT),
        ("xx..", 100.0, None, 100.0, Way.FREE),  # half is not more than half
        ("xxx..", 100.0, None, 100.0, Way.SHUT),
        ("....", 100.0, None, 100.0, Way.FREE),
        ("xxxx", 100.0, None, 100.0 + WINDOW_SECONDS - 0.1, Way.SHUT),
        ("xxxx", 100.0, None, 100.0 + WINDOW_SECONDS, Way.FREE),  # long ago
        ("....", 100.0, 100.0, 100.0 + PAUSE_SECONDS - 0.1, Way.SHUT),
        ("xxxx", 100.0, 100.0, 100.0 + PAUSE_SECONDS, Way.TRIAL),
        ("", 100.0, 100.0, 1e6, Way.TRIAL),  # nobody came for long: it is still a trial
    ],
)
def test_the_way_follows_from_what_was_seen(
    marks: str, at: float, shut_at: float | None, now: float, expected: Way
) -> None:
    assert way(seen(marks, at), shut_at, now) is expected


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_pipeline_shuts_waits_is_tried_and_goes_on() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    breaker.note("detect", held_up=LEAST_OUTCOMES, others=0)
    assert breaker.way("detect") is Way.SHUT
    assert breaker.way("motion") is Way.FREE
    clock.now += PAUSE_SECONDS
    assert breaker.way("detect") is Way.TRIAL
    breaker.note("detect", held_up=1, others=0)
    assert breaker.way("detect") is Way.SHUT
    clock.now += PAUSE_SECONDS
    breaker.note("detect", held_up=0, others=1)
    assert breaker.way("detect") is Way.FREE


def test_an_old_failure_does_not_count_against_a_pipeline_that_works_again() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    breaker.note("detect", held_up=LEAST_OUTCOMES, others=0)
    clock.now += PAUSE_SECONDS
    breaker.note("detect", held_up=0, others=1)
    breaker.note("detect", held_up=1, others=0)
    assert breaker.way("detect") is Way.FREE


def test_a_claim_that_came_to_nothing_says_nothing() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    breaker.note("detect", held_up=LEAST_OUTCOMES, others=0)
    clock.now += PAUSE_SECONDS
    breaker.note("detect", held_up=0, others=0)
    assert breaker.way("detect") is Way.TRIAL
