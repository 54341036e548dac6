"""How fast a model is on this machine: latency, throughput, time to load, memory."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from pipeline.models.base import Model
from pipeline.models.check import sample_picture
from pipeline.models.shapes import input_shape
from pipeline.models.shelf import FolderShelf

#: calls before the clock counts, and the fewest and most that it counts
WARM_CALLS, MIN_CALLS, MAX_CALLS = 3, 10, 1000


@dataclass(frozen=True, slots=True)
class BatchTimes:
    """Calls with ``batch`` pictures: 50th and 95th percentile in milliseconds, pictures per second over all calls."""

    batch: int
    calls: int
    p50_ms: float
    p95_ms: float
    pictures_per_second: float


@dataclass(frozen=True, slots=True)
class BenchReport:
    """What was measured of one model. rss_bytes: of the whole process, model loaded; added_bytes: since before it."""

    name: str
    version: str
    digest: str | None
    runtime: str
    precision: str
    device: str
    threads: int
    machine: str
    measured_at: str
    load_seconds: float
    rss_bytes: int
    added_bytes: int
    batches: tuple[BatchTimes, ...]

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {**asdict(self), "batches": [asdict(one) for one in self.batches]}


def bench(shelf: FolderShelf, name: str, *, seconds: float, device: str, threads: int) -> BenchReport:
    """Load a model and time it at batch 1 and at the card's ``max_batch``, ``seconds`` for each.

    A call is all that a frame costs: preparing the picture, the network, and reading its outputs (of a ``tensors``
    model the network alone). Raises: ParamsError, ModelUnavailable, ModelError, DeviceOutOfMemory.
    """
    process = psutil.Process()
    before, started = process.memory_info().rss, time.perf_counter()
    model = shelf.load(name)
    loaded = time.perf_counter() - started
    batches = tuple(_timed(model, size, seconds) for size in sorted({1, model.card.max_batch}))
    rss = process.memory_info().rss
    return BenchReport(
        name=name, version=model.card.version, digest=shelf.digest(name), runtime=model.card.runtime,
        precision=model.card.precision, device=device, threads=threads, machine=_machine(),
        measured_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), load_seconds=round(loaded, 3), rss_bytes=rss,
        added_bytes=max(0, rss - before), batches=batches,
    )  # fmt: skip


def _timed(model: Model, size: int, seconds: float) -> BatchTimes:
    picture = sample_picture(model.card)
    raw = np.zeros((size, *input_shape(model.card)), dtype=np.float32)

    def call() -> float:
        started = time.perf_counter()
        if model.card.task == "tensors":
            model.run(raw)
        else:
            model.predict([picture] * size)
        return time.perf_counter() - started

    for _ in range(WARM_CALLS):
        call()
    taken: list[float] = []
    while len(taken) < MIN_CALLS or (sum(taken) < seconds and len(taken) < MAX_CALLS):
        taken.append(call())
    return BatchTimes(size, len(taken), _milliseconds(taken, 50), _milliseconds(taken, 95), _rate(taken, size))


def _milliseconds(taken: Sequence[float], percent: int) -> float:
    values: NDArray[np.float64] = np.asarray(taken)
    return round(float(np.percentile(values, percent)) * 1000, 3)


def _rate(taken: Sequence[float], size: int) -> float:
    return round(size * len(taken) / max(sum(taken), 1e-9), 2)


def _machine() -> str:
    """Return the processor's name and how many cores this process may use."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{found[0] if found else name}, {len(psutil.Process().cpu_affinity() or [])} cores"
