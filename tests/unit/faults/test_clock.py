"""A false clock is false for the process that was started with it, may jump, and leaves the monotonic clock alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from bench.faults.clock import NOTICE_SECONDS, FalseClock

PROGRAM = """
import sys, time
for _ in sys.stdin:
    print(time.time(), time.monotonic(), flush=True)
"""


def _ask(process: subprocess.Popen[str]) -> tuple[float, float]:
    """How far its two clocks are from ours."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    wall, monotonic = (float(word) for word in process.stdout.readline().split())
    return wall - time.time(), monotonic - time.monotonic()


def test_clock_of_one_process_jumps_and_ours_does_not(tmp_path: Path) -> None:
    clock = FalseClock(tmp_path / "clock", 3600)
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **clock.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        wall, monotonic = _ask(process)
        assert abs(wall - 3600) < 2
        assert abs(monotonic) < 2

        clock.set(-3600)
        deadline = time.monotonic() + NOTICE_SECONDS
        while abs(_ask(process)[0] + 3600) > 2:
            assert time.monotonic() < deadline, "the jump was not noticed"
            time.sleep(0.05)
        assert abs(_ask(process)[1]) < 2
        process.stdin.close()  # type: ignore[union-attr]
