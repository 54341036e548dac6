from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from deploy.local.child import Identity, identify
from deploy.local.home import PartState, State
from deploy.local.leftovers import MARK, clean

SLEEPER = "print('ready', flush=True); import time; time.sleep(600)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER


def state_of(**parts: Identity) -> State:
    return State(
        status="up", launcher_pid=1, launcher_started=-1, run_id="this-run", api_url="", api_key=None,
        database_url="", redis_url="", flower_url="", flower_user="", flower_password="", started_at="",
        parts={name: PartState("up", part.pid, part.started) for name, part in parts.items()},
    )  # fmt: skip


class Survivors:
    """Processes that no launcher tends any more."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def start(self, code: str = SLEEPER, mark: str = "this-run") -> Identity:
        process = self._stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", code],
                env={**os.environ, MARK: mark},
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        )
        self._stack.callback(process.kill)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        found = identify(process.pid)
        assert found is not None
        return found


@pytest.fixture
def survivors() -> Iterator[Survivors]:
    with ExitStack() as stack:
        yield Survivors(stack)


def test_parts_that_still_run_are_ended_and_named_in_the_order_of_stopping(survivors: Survivors) -> None:
    parts = {name: survivors.start() for name in ("postgres", "worker", "web")}
    assert clean(state_of(**parts)) == ["web", "worker", "postgres"]
    assert not any(part.alive() for part in parts.values())


def test_a_part_that_ignores_the_request_is_killed(survivors: Survivors) -> None:
    worker = survivors.start(DEAF)
    assert clean(state_of(worker=worker), timeout_seconds=0.2) == ["worker"]
    assert not worker.alive()


def test_a_stranger_that_got_the_pid_of_a_part_is_left_alone(survivors: Survivors) -> None:
    stranger = survivors.start(mark="another-run")
    assert clean(state_of(web=Identity(stranger.pid, stranger.started - 1))) == []
    assert stranger.alive()


def test_a_process_that_lost_its_parent_is_found_by_the_mark_of_the_run(survivors: Survivors) -> None:
    stray, other = survivors.start(), survivors.start(mark="another-run")
    assert clean(state_of()) == ["a child process"]
    assert not stray.alive()
    assert other.alive()
