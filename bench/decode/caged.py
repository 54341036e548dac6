"""One measured run through the cage, beside the same work without it: ``python -m bench.decode.caged MODE FILE``.

MODE: ``overhead`` (CPU of decoding through the cage and in this process, turn by turn), ``first`` (seconds to the first
frame from a warm child), ``overlap`` (wall seconds of a whole pipeline, CPU seconds of its serial loop, memory).
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.decode.measuring import measured
from bench.decode.product import WIDTH, frames_in, index_in
from bench.decode.streams import clips_folder
from pipeline.cage import MEMORY_BYTES, Cage
from pipeline.cage_service import Service
from pipeline.frame import Frame
from pipeline.media import MediaLimits
from pipeline.memory import peak
from pipeline.models.shelf import open_shelf
from pipeline.pipelines.catalog import load_pipelines
from pipeline.run import Work, plan_input, run_works
from pipeline.spec import canonical_params

STRIDE = 10
BATCH = 8
#: requests that take turns, so that what else runs on the machine meets both sides alike; half a segment each
STRETCHES = 4
#: how often each of them is decoded either way
ROUNDS = 2
_MIB = 1 << 20


def main(mode: str, path: str) -> None:
    """Do it once, measured."""
    os.dup2(os.memfd_create("errors"), 2)  # the decoder's complaints are read back from there
    measured(lambda: {"overhead": overhead, "first": first, "overlap": overlap}[mode](Path(path)))


def overhead(path: Path) -> Mapping[str, Any]:
    """Decode the same frames both ways, a stretch each in turn; the cage's side counts both processes."""
    with Cage() as cage, _inside(path) as (service, descriptor):
        places = np.arange(0, len(cage.index(path)), STRIDE, dtype=np.int64)
        index_in(service, descriptor)
        child = cage.pid or 0

        def caged(stretch: NDArray[np.int64]) -> int:
            return sum(1 for _ in cage.frames(path, stretch, width=WIDTH))

        def inside(stretch: NDArray[np.int64]) -> int:
            return sum(head["type"] == "frame" for head, _ in frames_in(service, descriptor, stretch))

        ratios, parent = [], []
        for number, stretch in enumerate(np.array_split(places, STRETCHES) * ROUNDS):
            spent: dict[str, float] = {}
            for decode in sorted((caged, inside), key=lambda way: way.__name__, reverse=bool(number % 2)):
                own, before = _cpu(0), _cpu(0) + _cpu(child)
                if decode(stretch) != len(stretch):
                    raise RuntimeError(f"{decode.__name__} gave fewer frames than were wanted")
                spent[decode.__name__] = _cpu(0) + _cpu(child) - before
                if decode is caged:
                    parent.append((_cpu(0) - own) / len(stretch))
            ratios.append(spent["caged"] / spent["inside"])
    return {"ratio": statistics.median(ratios), "parent_ms": 1000 * statistics.median(parent)}


def first(path: Path) -> Mapping[str, Any]:
    """Ask a warm child for the frames of a file that it has not seen, and wait for the first one."""
    copy = path.with_suffix(f".{os.getpid()}.copy")
    with Cage() as cage:
        list(cage.frames(path, np.zeros(1, np.int64), width=WIDTH))
        os.link(path, copy)
        try:
            os.utime(copy)  # the child knows a file by its times too
            child = cage.pid or 0
            before, began = _cpu(0) + _cpu(child), time.perf_counter()
            frames = cage.frames(copy, np.arange(0, 500, STRIDE, dtype=np.int64), width=WIDTH)
            next(iter(frames))
            seconds, spent = time.perf_counter() - began, _cpu(0) + _cpu(child) - before
            frames.close()  # type: ignore[attr-defined]
        finally:
            copy.unlink()
    return {"seconds": seconds, "cpu": spent}


def overlap(path: Path) -> Mapping[str, Any]:
    """Run ``detect`` on the sampled frames: frame by frame in one thread, then as the product does."""
    pipeline = load_pipelines(["detect"])["detect"]
    shelf = open_shelf(
        model_dir=None, cache_dir=path.parent / "models", mirror=str(clips_folder().parents[1] / "models"),
        device="cpu", threads=0, precision="fp32",
    )  # fmt: skip
    asked = {"sampler": {"policy": "stride", "stride": STRIDE}, "width": WIDTH}
    params = canonical_params(pipeline.spec.params_schema, asked)
    pipeline.infer([_blank()], params, shelf)  # loads the model
    before, began = _cpu(0), time.perf_counter()
    serial = _serial(path, pipeline, params, shelf)
    serial_cpu, serial_wall = _cpu(0) - before, time.perf_counter() - began
    with Cage() as cage:
        plan = plan_input(pipeline, path, params, cage, shelf)
        works = [Work(str(number), path, span, plan.media) for number, span in enumerate(plan.ranges)]
        resident = _resident("self", "VmRSS")
        Path("/proc/self/clear_refs").write_text("5")
        child, began = cage.pid or 0, time.perf_counter()
        before = _cpu(0) + _cpu(child)
        found = list(run_works(pipeline, works, params, cage, shelf, checkpoint=_go_on, batch_size=BATCH))
        wall, spent = time.perf_counter() - began, _cpu(0) + _cpu(child) - before
        worker, peak_child = _resident("self", "VmHWM") - resident, _resident(child, "VmHWM")
    rows = max(span.frames for span in plan.ranges)
    said = peak(plan.media, width=WIDTH, batch_size=BATCH, cage_memory_bytes=MEMORY_BYTES, rows=rows)
    return {
        "serial_cpu": serial_cpu, "serial_wall": serial_wall, "wall": wall, "cpu": spent, "frames": serial,
        "rows": sum(len(result.rows) for result in found), "cores": len(os.sched_getaffinity(0)),
        "worker_mib": worker / _MIB, "child_mib": peak_child / _MIB, "worker_said_mib": said.worker_bytes / _MIB,
        "child_said_mib": (said.child_bytes + said.ring_slots * said.frame_bytes) / _MIB,
    }  # fmt: skip


def _serial(path: Path, pipeline: Any, params: Mapping[str, Any], shelf: Any) -> int:
    batch: list[Frame] = []
    done = 0
    with _inside(path) as (service, descriptor):
        _, key = index_in(service, descriptor)
        for head, payload in frames_in(service, descriptor, np.arange(0, len(key), STRIDE, dtype=np.int64)):
            if head["type"] == "frame":
                batch.append(Frame(np.array(payload), head["place"], head["pts"], head["seconds"], head["scale"]))
            if len(batch) == BATCH or head["type"] == "end":
                done += len(pipeline.infer(batch, params, shelf)) if batch else 0
                batch.clear()
    return done


@contextmanager
def _inside(path: Path) -> Iterator[tuple[Service, int]]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield Service(asdict(MediaLimits())), descriptor
    finally:
        os.close(descriptor)


def _cpu(pid: int) -> float:
    """Return the CPU seconds of a process, all its threads; 0 is this one. Linux derives its clock from the id."""
    return time.process_time() if not pid else time.clock_gettime((~pid << 3) | 2)


def _resident(pid: int | str, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


def _blank() -> Frame:
    image: NDArray[np.uint8] = np.zeros((360, WIDTH, 3), np.uint8)
    return Frame(image, 0, 0, 0.0)


def _go_on(done: int, total: int) -> None:
    return


if __name__ == "__main__":
    main(*sys.argv[1:])
