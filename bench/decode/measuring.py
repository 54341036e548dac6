"""Paired measurement: a method and the decode limit, in turn, each in a fresh process.

A machine that others use drifts by the minute, so a method is compared only with the limit run right beside it.
The limit is ``ffmpeg -f null -``: everything decoded, nothing kept.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.decode.streams import ffmpeg

_SAID = "@@"
_SECONDS = 600


class MethodFailed(Exception):
    """A measured process ended badly; the message is the last line it said."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one process. cpu counts user and system time of the process and its children."""

    wall_seconds: float
    cpu_seconds: float
    #: peak growth over what was resident before the measured part; None where the whole process was measured
    rss_growth_mib: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Paired:
    """Runs of a method and, one for one, of the limit beside it."""

    runs: Sequence[Run]
    limits: Sequence[Run]

    @property
    def cpu(self) -> tuple[float, float]:
        """CPU of the method over that of the limit: median of the pairs, half the spread."""
        return _middle([run.cpu_seconds / limit.cpu_seconds for run, limit in self._pairs])

    @property
    def wall(self) -> tuple[float, float]:
        """Rate over that of the limit, above 1 is faster than decoding everything: median, half the spread."""
        return _middle([limit.wall_seconds / run.wall_seconds for run, limit in self._pairs])

    @property
    def _pairs(self) -> list[tuple[Run, Run]]:
        return list(zip(self.runs, self.limits, strict=True))


def limit_command(path: Path) -> tuple[str, ...]:
    """Return the command that decodes everything and keeps nothing."""
    return (
        ffmpeg(),
        "-v",
        "error",
        "-nostdin",
        "-i",
        str(path),
        "-map",
        "0:v:0",
        "-an",
        "-vsync",
        "0",
        "-f",
        "null",
        "-",
    )


def inside(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs ``module`` in a fresh interpreter; it is to call ``measured``."""
    return (sys.executable, "-m", module, *arguments)


def measured(body: Callable[[], Mapping[str, Any]]) -> None:
    """Run ``body`` in this process and say what it took, for ``paired`` to read; imports come before."""
    _forget_peak()
    before, started, resident = _cpu(), time.perf_counter(), _peak_mib()
    extra = body()
    run = {
        "wall_seconds": time.perf_counter() - started, "cpu_seconds": _cpu() - before,
        "rss_growth_mib": _peak_mib() - resident, "extra": dict(extra),
    }  # fmt: skip
    print(_SAID + json.dumps(run), flush=True)


def run_once(command: Sequence[str]) -> Run:
    """Run a command in a fresh process: what it says of itself, else what the whole process took.

    Raises: MethodFailed.
    """
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        raise MethodFailed(lines[-1][:200])
    for line in done.stdout.splitlines():
        if line.startswith(_SAID):
            return Run(**json.loads(line.removeprefix(_SAID)))
    return Run(wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def paired(method: Sequence[str], limit: Sequence[str], repetitions: int) -> Paired:
    """Run method and limit in turn, after one warm-up of the method; the order changes each time.

    Raises: MethodFailed.
    """
    run_once(method)
    runs: dict[str, list[Run]] = {"method": [], "limit": []}
    commands = {"method": method, "limit": limit}
    for number in range(repetitions):
        for name in sorted(commands, reverse=bool(number % 2)):
            runs[name].append(run_once(commands[name]))
    return Paired(runs["method"], runs["limit"])


def _middle(values: Sequence[float]) -> tuple[float, float]:
    return statistics.median(values), (max(values) - min(values)) / 2


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return  # the peak then counts from the start of the process


def _peak_mib() -> float:
    for line in Path(f"/proc/{os.getpid()}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0
