"""The watchdog's bounds, and that it really ends a process that holds the GIL."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from typing import Any

import pytest

from tests.services import REPOSITORY
from workers.watchdog import FINE_SECONDS, GRACE_SECONDS, Watchdog


class Timer:
    """Stands in for faulthandler's one timer, and for the clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.armed: float | None = None

    def arm(self, seconds: float, *, exit: bool, file: Any) -> None:
        assert exit
        self.armed = seconds

    def disarm(self) -> None:
        self.armed = None


@pytest.fixture
def timer() -> Timer:
    return Timer()


@pytest.fixture
def watchdog(timer: Timer) -> Watchdog:
    return Watchdog(sys.stderr, arm=timer.arm, disarm=timer.disarm, clock=lambda: timer.now)


def test_each_sign_of_life_gives_its_allowance(watchdog: Watchdog, timer: Timer) -> None:
    with watchdog.over(1000.0):
        watchdog.feed(30.0)
        assert timer.armed == 30.0
        watchdog.feed(900.0)
        assert timer.armed == 900.0
    assert timer.armed is None


def test_signs_of_life_close_together_set_the_timer_once(watchdog: Watchdog, timer: Timer) -> None:
    with watchdog.over(1000.0):
        watchdog.feed(30.0)
        timer.armed = None
        timer.now += FINE_SECONDS / 2
        watchdog.feed(30.0)
        assert timer.armed is None
        watchdog.feed(20.0)
        assert timer.armed == 20.0
        timer.armed = None
        timer.now += FINE_SECONDS
        watchdog.feed(20.0)
        assert timer.armed == 20.0


def test_no_allowance_reaches_past_the_runtime(watchdog: Watchdog, timer: Timer) -> None:
    with watchdog.over(100.0):
        timer.now += 90.0
        watchdog.feed(60.0)
        assert timer.armed == 10.0 + GRACE_SECONDS
        timer.now += 500.0
        watchdog.feed(60.0)
        assert timer.armed == 0.1


def test_it_sleeps_while_paused_and_wakes_afterwards(watchdog: Watchdog, timer: Timer) -> None:
    with watchdog.over(1000.0):
        watchdog.feed(30.0)
        with watchdog.paused():
            assert timer.armed is None
            watchdog.feed(40.0)
            assert timer.armed is None
        assert timer.armed == 40.0


def test_it_is_off_outside_a_claim_and_after_an_error(watchdog: Watchdog, timer: Timer) -> None:
    watchdog.feed(30.0)
    assert timer.armed is None

    def fails() -> None:
        with watchdog.over(1000.0):
            watchdog.feed(30.0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert timer.armed is None


def test_a_process_that_holds_the_gil_is_ended_with_its_stack() -> None:
    code = """
import ctypes, sys
from workers.watchdog import Watchdog
def stands_still():
    ctypes.PyDLL(None).sleep(60)
watchdog = Watchdog(open(sys.argv[1], "w"))
with watchdog.over(60):
    watchdog.feed(0.2)
    stands_still()
"""
    with tempfile.NamedTemporaryFile() as stack:
        done = subprocess.run([sys.executable, "-c", code, stack.name], cwd=REPOSITORY, timeout=30, check=False)
        assert done.returncode == 1
        assert b"stands_still" in stack.read()
