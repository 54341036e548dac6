"""Clients that wait: seats, hints, and looking for oneself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from storage.job import Job, JobState
from storage.jobs import JobStore
from tests.unit.web.test_situation import a_job
from web.documents import JobDocument
from web.events import event_id, job_events
from web.shapes import View, job_document
from web.situation import Scene
from web.waiting import FIRST_LOOK_SECONDS, WaitingRoom
from workers.hints import Hints


class Clock:
    """Time that passes only while somebody waits; ``hinted_at`` are the moments of hints."""

    def __init__(self, hinted_at: tuple[float, ...] = ()) -> None:
        self.now = 0.0
        self.waits: list[float] = []
        self._hinted_at = list(hinted_at)

    def wait(self, job_id: str, timeout_seconds: float) -> bool:
        end = self.now + timeout_seconds
        hint = next((moment for moment in self._hinted_at if self.now < moment <= end), None)
        self.waits.append(timeout_seconds)
        self.now = end if hint is None else hint
        return hint is not None


class Rows:
    """A job store with one job, whose row is a function of time."""

    def __init__(self, clock: Clock, row_at: Callable[[float], Job]) -> None:
        self._clock, self._row_at, self.reads = clock, row_at, 0

    def get(self, job_id: str, tenant: str | None = None) -> Job:
        self.reads += 1
        return self._row_at(self._clock.now)


def ending_at(moment: float) -> Callable[[float], Job]:
    return lambda now: a_job(state=JobState.SUCCEEDED if now >= moment else JobState.QUEUED)


def room_of(clock: Clock, row_at: Callable[[float], Job], seats: int = 1) -> tuple[WaitingRoom, Rows]:
    rows = Rows(clock, row_at)
    room = WaitingRoom(
        cast(JobStore, rows), cast(Hints, clock), seats=seats, recheck_seconds=3.0, clock=lambda: clock.now
    )
    return room, rows


def ended(job: Job) -> bool:
    return job.terminal


def test_a_hint_wakes_at_once() -> None:
    clock = Clock(hinted_at=(5.0,))
    room, _ = room_of(clock, ending_at(5.0))
    assert room.until(a_job(), 20, ended).terminal
    assert clock.now == 5.0


def test_a_lost_hint_costs_at_most_one_recheck() -> None:
    clock = Clock()
    room, _ = room_of(clock, ending_at(5.0))
    assert room.until(a_job(), 20, ended).terminal
    assert 5.0 <= clock.now <= 8.0


def test_a_hint_between_reading_and_waiting_costs_a_moment() -> None:
    clock = Clock()
    room, _ = room_of(clock, ending_at(0.0))
    room.until(a_job(), 20, ended)
    assert clock.now == FIRST_LOOK_SECONDS


def test_a_wait_ends_with_its_time_and_looks_seldom() -> None:
    clock = Clock()
    room, rows = room_of(clock, ending_at(1000.0))
    assert not room.until(a_job(), 20, ended).terminal
    assert clock.now == 20
    assert rows.reads <= 9


def test_at_the_end_of_the_process_waiting_clients_are_answered_and_streams_end() -> None:
    clock = Clock()
    room, _ = room_of(clock, ending_at(1000.0))
    room.close()
    assert not room.until(a_job(), 20, ended).terminal
    assert clock.now == 0
    assert kinds(a_job(), room) == ["state"]


def test_an_ended_job_is_not_waited_for() -> None:
    clock = Clock()
    room, rows = room_of(clock, ending_at(0))
    assert room.until(a_job(state=JobState.DEAD), 20, ended).state is JobState.DEAD
    assert (clock.waits, rows.reads) == ([], 0)


def test_a_seat_is_free_again_after_a_wait_and_after_a_fault() -> None:
    clock = Clock()

    def broken(now: float) -> Job:
        raise ConnectionError

    room, _ = room_of(clock, broken)
    for _ in range(3):
        with pytest.raises(ConnectionError):
            room.until(a_job(), 1, ended)
    seat = room.sit()
    assert seat is not None
    assert room.sit() is None
    seat.leave()
    seat.leave()
    assert room.sit() is not None
    assert room.sit() is None


def kinds(job: Job, room: WaitingRoom, last_id: str | None = None) -> list[str]:
    def view(found: Job) -> JobDocument:
        return job_document(found, View("http://x", Scene({}, frozenset())))

    text = "".join(job_events(room, job, view, seconds=1000, last_id=last_id))
    return [line.removeprefix("event: ") for line in text.splitlines() if line.startswith(("event: ", ": "))]


def test_events_are_told_once_each_and_silence_is_bridged() -> None:
    half = a_job(state=JobState.RUNNING, progress=0.5)

    def row_at(now: float) -> Job:
        if now < 20:
            return a_job()
        if now < 21:
            return replace(half, progress=0.1)
        return half if now < 22 else replace(half, state=JobState.SUCCEEDED, progress=1.0)

    clock = Clock(hinted_at=(20.0, 21.0, 22.0))
    room, _ = room_of(clock, row_at)
    assert kinds(a_job(), room) == ["state", ": still here", "state", "progress", "end"]


def test_a_client_that_comes_back_is_not_told_what_it_knows() -> None:
    clock = Clock(hinted_at=(1.0,))
    room, _ = room_of(clock, ending_at(1.0))
    assert kinds(a_job(), room, last_id=event_id(a_job())) == ["end"]
