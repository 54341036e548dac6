"""What the cage costs, and what overlap brings: CPU beside in-process decoding, first frame, whole pipeline, memory."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.decode.figures import Figure
from bench.decode.measuring import inside, run_once
from bench.decode.streams import Streams

STREAM = "h264-720p-gop250"
#: fresh pairs of processes for each repetition: where a process's memory lies decides some percent of its decoding
PAIRS = 3


def measure(streams: Streams, repetitions: int) -> list[Figure]:
    """Measure each in fresh processes. Raises: MethodFailed, MissingTool."""
    path = streams.path(STREAM)
    overhead = _runs("overhead", path, PAIRS * repetitions)
    first = _runs("first", path, repetitions)
    return [
        _figure(f"{STREAM} stride 10, cage: CPU against in-process", [one["ratio"] for one in overhead], bar=1.03),
        _figure(f"{STREAM} stride 10, cage: CPU a frame, parent", [one["parent_ms"] for one in overhead], unit="ms"),
        _figure(f"{STREAM}, first frame of a warm child: CPU", [one["cpu"] for one in first], bar=0.10, unit="s"),
        _figure(f"{STREAM}, first frame of a warm child: wall", [one["seconds"] for one in first], bar=0.10, unit="s"),
        *_overlap(_runs("overlap", path, repetitions)),
    ]


def _overlap(runs: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Compare with what is the least for any arrangement: the serial loop's CPU seconds, spread over all cores."""
    name = f"{STREAM} stride 10, detect"
    bound = [one["serial_cpu"] / one["cores"] for one in runs]
    wall = [one["wall"] / least for one, least in zip(runs, bound, strict=True)]
    serial = [one["serial_wall"] / least for one, least in zip(runs, bound, strict=True)]
    share = [one["child_mib"] / one["child_said_mib"] for one in runs]
    within = [one["worker_mib"] / one["worker_said_mib"] for one in runs]
    return [
        _figure(f"{name}: CPU against the serial loop", [one["cpu"] / one["serial_cpu"] for one in runs], bar=1.15),
        _figure(f"{name}: wall against serial CPU / cores", wall, bar=1.15),
        _figure(f"{name}: wall of the serial loop against the same", serial),
        _figure(f"{name}: wall against the serial loop", [one["wall"] / one["serial_wall"] for one in runs]),
        _figure(f"{name}: worker's growth", [one["worker_mib"] for one in runs], unit="MiB"),
        _figure(f"{name}: worker's growth against the formula", within, bar=1),
        _figure(f"{name}: child's peak", [one["child_mib"] for one in runs], unit="MiB"),
        _figure(f"{name}: child's peak against the formula", share, bar=1),
    ]


def _runs(mode: str, path: Path, repetitions: int) -> list[Mapping[str, Any]]:
    return [run_once(inside("bench.decode.caged", mode, str(path))).extra for _ in range(repetitions)]


def _figure(name: str, values: Sequence[float], *, bar: float | None = None, unit: str = "x") -> Figure:
    return Figure(name, statistics.median(values), bar, unit=unit, spread=(max(values) - min(values)) / 2)
