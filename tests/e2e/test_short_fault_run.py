"""A minute of faults as part of every test run: the long ones are `make faults`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bench.embedded import eventually
from bench.faults.checker import check
from bench.faults.history import load_history
from bench.faults.judging import HISTORY
from bench.faults.running import run_one
from bench.faults.scenarios import soak
from bench.faults.world import Terms
from deploy.local.home import REPOSITORY

#: the order by the seed; the longest freeze stays below a lease
FAULTS = {
    "kill a child": (soak.kill_child, 2),
    "kill worker-2": (soak.kill_second("worker"), 1),
    "kill redis": (soak.kill_engine("redis"), 1),
    "kill postgres": (soak.kill_engine("postgres"), 1),
    "freeze worker": (soak.freeze("worker", 4), 1),
    "flush": (soak.flush, 1),
}


@pytest.mark.timeout(420)
def test_a_minute_of_faults_breaks_no_promise(tmp_path: Path) -> None:
    short = soak.Soak(FAULTS, rest_seconds=(0.2, 1.0))
    result = run_one(short, Terms(seed=11, minutes=0.2), tmp_path)

    verdict = json.loads((tmp_path / "verdict.json").read_text())
    assert verdict["held"], verdict["violations"]
    assert result.passed, result.note
    assert result.figures["faults"] >= 6
    assert result.counts["acknowledged"] == result.counts["succeeded"] == result.figures["jobs"] > 40

    history = load_history(tmp_path / HISTORY)
    assert len(history.jobs) == result.figures["jobs"]
    told_otherwise = check(history, acknowledged={"never": ["01a1fc9f-d563-7c09-a33a-a5a1af390d28"]})
    assert told_otherwise.broken == {"job.lost": 1}


def processes_of(folder: Path) -> list[str]:
    """Everything that runs from a folder, or was told of it."""
    found = []
    for process in psutil.process_iter():
        try:
            told = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            continue
        if any(str(folder) in word for word in told):
            found.append(f"{process.pid} {process.name()}")
    return found


@pytest.mark.timeout(420)
def test_a_run_that_is_interrupted_in_the_middle_of_a_fault_leaves_no_process(tmp_path: Path) -> None:
    log = tmp_path / "log"
    folder = tmp_path / "temporary"
    folder.mkdir()
    words = ["-m", "bench.faults", "--faults", "redis-freeze", "--out", str(tmp_path / "out")]
    with log.open("wb") as file:
        run = subprocess.Popen(
            [sys.executable, *words],
            cwd=REPOSITORY,
            env={**os.environ, "TMPDIR": str(folder)},
            stdout=file,
            stderr=file,
        )
    try:
        eventually(lambda: "freeze redis" in log.read_text() or run.poll() is not None, 240, log.read_text)
        assert len(processes_of(folder)) > 10, log.read_text()
        run.send_signal(signal.SIGINT)
        assert run.wait(150) == 1, log.read_text()
    finally:
        run.kill()
        run.wait()
    assert processes_of(folder) == []
    assert list(folder.iterdir()) == []
