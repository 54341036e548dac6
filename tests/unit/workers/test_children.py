"""The main process hears of its children's ends, and ends them in time."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from workers.children import Child, Children


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


class Heard:
    """What the watch said."""

    def __init__(
        self,
        give_back_seconds: float = 15.0,
        last_resort_seconds: float = 7.0,
        on_overdue: Callable[[Child], None] | None = None,
    ) -> None:
        self.deaths: queue.Queue[tuple[Child, str]] = queue.Queue()
        self.overdue: queue.Queue[Child] = queue.Queue()
        self.draining: queue.Queue[bool] = queue.Queue()
        self.children = Children(
            lambda child, how: self.deaths.put((child, how)), on_overdue or self.overdue.put,
            lambda: self.draining.put(True),
            give_back_seconds=give_back_seconds, last_resort_seconds=last_resort_seconds,
        )  # fmt: skip
        self.children.start()


def test_a_killed_child_is_told_at_once_with_how_it_ended(sleeper: subprocess.Popen[bytes]) -> None:
    heard = Heard()
    child = Child(sleeper.pid, "w1", "/nowhere")
    heard.children.announce(child)
    os.kill(sleeper.pid, signal.SIGKILL)
    assert heard.deaths.get(timeout=2) == (child, "killed by SIGKILL")
    assert sleeper.wait(5) == -signal.SIGKILL, "the pool must still be able to reap it"


def test_a_child_that_ended_before_it_was_watched_is_told_too() -> None:
    heard = Heard()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    heard.children.announce(Child(gone.pid, "w1", "/nowhere"))
    child, _ = heard.deaths.get(timeout=2)
    assert child.worker_id == "w1"


def test_an_exit_status_is_told() -> None:
    heard = Heard()
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read(); sys.exit(3)"], stdin=-1)
    heard.children.announce(Child(process.pid, "w1", "/nowhere"))
    process.communicate()
    _, how = heard.deaths.get(timeout=5)
    assert how in ("exit status 3", "it is gone"), "the second if the pool reaped it first"


def test_a_child_that_outlives_a_stop_is_relieved_and_killed(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: queue.Queue[int] = queue.Queue()
    monkeypatch.setattr("workers.children.os._exit", ended.put)
    heard = Heard(give_back_seconds=0.1, last_resort_seconds=0.5)
    heard.children.announce(Child(sleeper.pid, "w1", "/nowhere"))
    heard.children.stop()
    assert heard.overdue.get(timeout=2).worker_id == "w1"
    assert sleeper.wait(5) == -signal.SIGKILL
    assert ended.get(timeout=2) == 1


def test_a_database_that_never_answers_does_not_hold_up_the_end(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: queue.Queue[int] = queue.Queue()
    answers = threading.Event()
    monkeypatch.setattr("workers.children.os._exit", ended.put)
    heard = Heard(give_back_seconds=0.1, last_resort_seconds=0.2, on_overdue=lambda _: answers.wait(30) and None)
    heard.children.announce(Child(sleeper.pid, "w1", "/nowhere"))
    heard.children.stop()
    assert ended.get(timeout=5) == 1
    assert sleeper.wait(5) == -signal.SIGKILL
    answers.set()


def test_roused_children_hear_the_signal_that_nobody_else_uses() -> None:
    program = (
        "import signal, sys; signal.signal(signal.SIGURG, lambda *_: sys.exit(7)); print(flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        heard = Heard()
        heard.children.announce(Child(process.pid, "w1", "/nowhere"))
        heard.children.rouse()
        assert process.wait(5) == 7


def test_the_worker_is_drained_when_all_its_children_are(sleeper: subprocess.Popen[bytes]) -> None:
    heard = Heard()
    for worker_id in ("w1", "w2"):
        heard.children.announce(Child(sleeper.pid, worker_id, "/nowhere"))
    heard.children.announce_draining("w1")
    with pytest.raises(queue.Empty):
        heard.draining.get(timeout=0.3)
    heard.children.announce_draining("w2")
    assert heard.draining.get(timeout=2)
