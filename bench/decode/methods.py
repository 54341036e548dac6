"""The planned decode against the decode limit: CPU gates, wall rates beside them, memory."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bench.decode.figures import Figure
from bench.decode.measuring import Paired, inside, limit_command, paired, run_once
from bench.decode.streams import Streams


@dataclass(frozen=True, slots=True)
class Case:
    """One stream at one stride, and its bars: CPU ratio (a gate) and wall rate (reported)."""

    stream: str
    stride: str
    cpu: float
    cpu_stretch: float | None = None
    rate: float | None = None

    @property
    def name(self) -> str:
        """Stream and stride in words."""
        policy = self.stride if self.stride == "keyframes" else f"stride {self.stride}"
        return f"{self.stream} {policy}"


CASES = (
    Case("h264-720p-gop250", "10", 0.72, 0.62, 1.25),
    Case("h264-720p-gop250", "30", 0.66, 0.55),
    Case("h264-720p-gop250", "150", 0.42, 0.36),
    Case("h264-720p-gop30", "150", 0.10, None, 10),
    Case("h264-720p-gop12", "60", 0.10, None, 10),
    Case("h264-720p-gop12", "150", 0.10, None, 10),
    Case("h264-720p-gop250", "keyframes", 0.09, None, 10),
    Case("h264-720p-gop250", "1", 1.20, None, 0.90),
    Case("hevc-720p-gop250", "10", 0.66),
    Case("av1-720p-gop240", "10", 0.92),
)
#: stream, the same five times as long, bar in MiB
_MEMORY = (("h264-720p-gop250", "h264-720p-gop250-x5", 40.0), ("h264-1080p-gop30", "h264-1080p-gop30-x5", 65.0))


def measure(streams: Streams, repetitions: int, rows: str = "") -> list[Figure]:
    """Measure every case, and memory; with ``rows``, just the cases whose name it matches.

    Raises: MethodFailed, MissingTool.
    """
    figures = []
    for case in (case for case in CASES if re.search(rows, case.name)):
        path = streams.path(case.stream)
        command = inside("bench.decode.product", str(path), case.stride)
        figures += _figures(case, paired(command, limit_command(path), repetitions))
    return figures if rows else figures + _memory(streams)


def _figures(case: Case, result: Paired) -> list[Figure]:
    cpu, cpu_spread = result.cpu
    rate, rate_spread = result.wall
    return [
        Figure(f"{case.name}: CPU", cpu, case.cpu, case.cpu_stretch, spread=cpu_spread),
        Figure(f"{case.name}: rate", rate, case.rate, higher_is_better=True, spread=rate_spread, gate=False),
    ]


def _memory(streams: Streams) -> list[Figure]:
    figures = []
    for short, long, bar in _MEMORY:
        for name in (short, long):
            grown = run_once(inside("bench.decode.product", str(streams.path(name)), "10")).rss_growth_mib
            figures.append(Figure(f"{name} stride 10: peak RSS growth", grown or 0.0, bar, unit="MiB"))
    return figures
