from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.child import Child, Command, StartError, group_members, identify
from deploy.local.parts import Part
from deploy.local.supervisor import Seat, Supervisor, restart_delay
from deploy.local.wake import StopRequested, Wake

SLEEPER = "import time; time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)


class Stage:
    """A supervisor over small real processes, and what it told."""

    def __init__(self, folder: Path, wake: Wake) -> None:
        self.folder, self.wake = folder, wake
        self.told: list[str] = []
        self.changes: list[tuple[str, str]] = []
        self.children: list[Child] = []
        self.supervisor = Supervisor(wake, changed=self._changed, say=self.told.append)

    def part(self, name: str, code: str = SLEEPER, **limits: float) -> Part:
        return Part(name, lambda: self._launch(name, code), lambda child: child.ended() is None, **limits)

    def up(self, *parts: Part) -> None:
        self.supervisor.bring_up(parts, ready=lambda part, took: None)

    def watch_until(self, told: str) -> None:
        """Watch until a line was told, then stop as SIGTERM would; the alarm bounds the wait."""
        say = self.told.append

        def listen(text: str) -> None:
            say(text)
            if told in text:
                self.wake.stop_requested = True

        self.supervisor._say = listen
        self.wake.stop_requested = False
        with pytest.raises(StopRequested):
            self.supervisor.watch()

    def _launch(self, name: str, code: str) -> Child:
        log = self.folder / f"{name}.log"
        child = Child(Command(name=name, argv=[sys.executable, "-c", code], env=os.environ, log_path=log))
        self.children.append(child)
        return child

    def _changed(self, seat: Seat) -> None:
        self.changes.append((seat.part.name, seat.status))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Wake(tmp_path / "control") as wake:
        made = Stage(tmp_path, wake)
        try:
            yield made
        finally:
            made.supervisor.take_down()


@pytest.mark.parametrize(("failures", "seconds"), [(0, 0.5), (1, 1.0), (2, 2.0), (5, 16.0), (6, 30.0), (99, 30.0)])
def test_the_delay_before_a_restart_doubles_up_to_half_a_minute(failures: int, seconds: float) -> None:
    assert restart_delay(failures) == seconds


def test_a_part_that_dies_is_started_again_and_said_so(stage: Stage) -> None:
    stage.up(stage.part("web"))
    first = stage.children[0]
    os.kill(first.pid, signal.SIGKILL)
    stage.watch_until("web is back")
    assert any("web ended with code -9; next start in 1 s" in line for line in stage.told)
    assert stage.children[1].ended() is None
    assert stage.children[1].pid != first.pid


def test_a_part_that_never_comes_up_is_reported_with_the_end_of_its_log(stage: Stage) -> None:
    broken = Part("web", lambda: stage._launch("web", "raise SystemExit('no such table: jobs')"), lambda child: False)
    with pytest.raises(StartError, match="no such table: jobs"):
        stage.up(broken)


def test_a_part_that_is_never_ready_is_given_up_after_its_time(stage: Stage) -> None:
    slow = Part("web", lambda: stage._launch("web", SLEEPER), lambda child: False, ready_timeout_seconds=0.3)
    with pytest.raises(StartError, match="not ready after"):
        stage.up(slow)


def test_parts_stop_in_order_and_leave_no_process_behind(stage: Stage) -> None:
    stage.up(*(stage.part(name) for name in ("postgres", "redis", "dispatcher", "worker", "web")))
    stage.supervisor.take_down()
    stopped = [line.removeprefix("stopped ") for line in stage.told]
    assert stopped == ["web", "worker", "dispatcher", "redis", "postgres"]
    assert all(identify(child.pid) is None for child in stage.children)


def test_a_part_that_ignores_the_request_to_end_is_killed_with_its_children(stage: Stage) -> None:
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEPER!r}]); " + STUBBORN
    deaf = Part(
        "worker",
        lambda: stage._launch("worker", code),
        lambda child: "deaf" in child.log_tail(),
        stop_timeout_seconds=0.2,
    )
    stage.up(deaf)
    group = stage.children[0].pid
    assert len(group_members(group)) == 2
    stage.supervisor.take_down()
    assert "worker did not end within 0.2 s and was killed" in stage.told
    assert group_members(group) == []


def test_a_held_part_stays_down_until_it_is_started(stage: Stage) -> None:
    stage.up(stage.part("redis"), stage.part("web"))
    control = stage.folder / "control"
    _write(control, "stop redis\n")
    stage.watch_until("stopped redis")
    assert stage.changes[-1] == ("redis", "held")
    _write(control, "start redis\n")
    stage.watch_until("redis is back")
    assert stage.changes[-1] == ("redis", "up")


def test_an_unknown_command_changes_nothing(stage: Stage) -> None:
    stage.up(stage.part("web"))
    _write(stage.folder / "control", "stop everything\nrestart web\n")
    stage.watch_until("web is back")
    assert len(stage.children) == 2


def test_a_signal_ends_the_wait_at_once(stage: Stage) -> None:
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    with pytest.raises(StopRequested):
        stage.supervisor.watch()
    timer.join()


def test_a_step_that_fails_tells_the_end_of_its_log(stage: Stage) -> None:
    with pytest.raises(StartError, match=r"(?s)migrate failed with code 1.*relation is missing"):
        stage.supervisor.run_to_end(
            "migrate", lambda: stage._launch("migrate", "raise SystemExit('relation is missing')")
        )


def _write(control: Path, line: str) -> None:
    with control.open("w") as pipe:
        pipe.write(line)
