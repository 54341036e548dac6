"""The heartbeat: registers, beats, hears of loss, and outlives outages."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from typing import Any

from storage.claims import Heartbeat
from storage.errors import DatabaseUnavailable
from storage.job import Claim
from tests.fakes.memory_claims import MemoryClaims
from tests.unit.workers.segments_made import segment
from workers.heartbeat import Pulse

CLAIM = Claim("c1", "w1", (segment(),))


class Scripted(MemoryClaims):
    """Answers heartbeats from a list, then the last one for ever; an exception is raised."""

    def __init__(self, *answers: Heartbeat | Exception) -> None:
        super().__init__()
        self.answers = list(answers)
        self.asked = threading.Semaphore(0)
        self.carried: list[Mapping[str, Any]] = []
        self.known: list[Collection[str] | None] = []

    def heartbeat(
        self, worker_id: str, progress: Mapping[str, tuple[int, int]], *, in_hand: Collection[str] | None = None
    ) -> Heartbeat:
        self.carried.append(progress)
        self.known.append(in_hand)
        self.asked.release()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def told(held: set[str] | None = None, *, draining: bool = False, lost: bool = False) -> Heartbeat:
    return Heartbeat(frozenset(held or ()), draining, lost)


def test_it_registers_before_the_first_beat_and_once() -> None:
    registered: list[int] = []
    claims = Scripted(told())
    with Pulse("w1", claims, lambda: registered.append(1), interval_seconds=0.01):
        for _ in range(3):
            assert claims.asked.acquire(timeout=5)
    assert registered == [1]


def test_a_beat_names_every_claim_in_hand() -> None:
    claims = Scripted(told({"c1"}))
    pulse = Pulse("w1", claims, lambda: None)
    pulse.beat()
    with pulse.holding(CLAIM):
        pulse.beat()
    pulse.beat()
    assert claims.known == [set(), {"c1"}, set()]


def test_declared_lost_it_registers_again() -> None:
    registered: list[int] = []
    pulse = Pulse("w1", Scripted(told(), told(lost=True), told()), lambda: registered.append(1))
    for _ in range(4):
        pulse.beat()
    assert len(registered) == 2


def test_an_outage_ends_neither_the_thread_nor_the_claim() -> None:
    claims = Scripted(told({"c1"}), DatabaseUnavailable("away"), DatabaseUnavailable("away"), told({"c1"}))
    with Pulse("w1", claims, lambda: None, interval_seconds=0.01) as pulse, pulse.holding(CLAIM) as hold:
        for _ in range(5):
            assert claims.asked.acquire(timeout=5)
        assert not hold.lost


def test_a_claim_that_is_not_in_the_answer_is_lost() -> None:
    pulse = Pulse("w1", Scripted(told({"other"})), lambda: None)
    with pulse.holding(CLAIM) as hold:
        pulse.beat()
        assert hold.lost


def test_a_claim_made_while_the_beat_was_under_way_is_not_lost() -> None:
    now = [10.0]
    pulse = Pulse("w1", Scripted(told()), lambda: None, clock=lambda: now[0])
    with pulse.holding(CLAIM) as hold:
        pulse.beat()
        assert not hold.lost


def test_the_own_lease_counts_from_before_the_beat_was_sent() -> None:
    now = [100.0]

    class Slow(Scripted):
        def heartbeat(
            self, worker_id: str, progress: Mapping[str, tuple[int, int]], *, in_hand: Collection[str] | None = None
        ) -> Heartbeat:
            now[0] += 4.0
            return super().heartbeat(worker_id, progress, in_hand=in_hand)

    pulse = Pulse("w1", Slow(told()), lambda: None, clock=lambda: now[0])
    pulse.beat()
    assert pulse.lease_seconds_left == 11.0


def test_draining_is_told_once() -> None:
    drained: list[int] = []
    pulse = Pulse("w1", Scripted(told(draining=True)), lambda: None, on_draining=lambda: drained.append(1))
    pulse.beat()
    pulse.beat()
    assert (pulse.draining, drained) == (True, [1])


def test_progress_is_carried() -> None:
    claims = Scripted(told({"c1"}))
    pulse = Pulse("w1", claims, lambda: None)
    with pulse.holding(CLAIM) as hold:
        hold.progress = {"s1": (3, 9)}
        pulse.beat()
    pulse.beat()
    assert claims.carried == [{"s1": (3, 9)}, {}]


def test_a_nudge_for_a_job_in_hand_is_a_beat_at_once_and_for_another_none() -> None:
    claims = Scripted(told({"c1"}), told())
    with Pulse("w1", claims, lambda: None, interval_seconds=60.0) as pulse, pulse.holding(CLAIM) as hold:
        assert claims.asked.acquire(timeout=5)
        pulse.nudge("another")
        assert not claims.asked.acquire(timeout=0.3)
        assert not hold.lost
        pulse.nudge("j1")
        assert claims.asked.acquire(timeout=5)
    assert hold.lost


def test_the_end_of_a_pulse_does_not_wait_for_its_next_beat() -> None:
    pulse = Pulse("w1", Scripted(told()), lambda: None, interval_seconds=60.0)
    with pulse:
        thread = pulse._thread
    assert not thread.is_alive()
