"""Two hours of 1080p at one frame per 10 s through the cage, against decoding just the wanted groups of pictures.

``python -m bench.decode.long_video product|groups FILE`` is one measured run. The comparison knows from the start what
the product has to find out: where the wanted frames are. It jumps to the keyframe before each, decodes from there to
the wanted frame as PyAV does by default, and converts nothing.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.decode.figures import Figure
from bench.decode.measuring import inside, measured, run_once
from bench.decode.streams import MissingTool, Streams
from pipeline.cage import MEMORY_BYTES, Cage
from pipeline.media import PacketIndex
from pipeline.memory import MIB, peak

STREAM = "h264-1080p-gop30-2h"
EVERY_SECONDS = 10.0
WIDTH = 640
#: the joined file and room to write it
_DISK_BYTES = 6 << 30
_MODULE = "bench.decode.long_video"


def measure(streams: Streams, repetitions: int) -> list[Figure]:
    """Measure in turn, at most three times since each run is long. Raises: MethodFailed, MissingTool."""
    path = _stream(streams)
    run_once(inside(_MODULE, "index", str(path)))  # the file is in the page cache from here on, for both
    pairs = [
        (run_once(inside(_MODULE, "product", str(path))), run_once(inside(_MODULE, "groups", str(path))))
        for _ in range(min(3, repetitions))
    ]
    walls = [product.wall_seconds / groups.wall_seconds for product, groups in pairs]
    cpus = [(run.cpu_seconds + run.extra["child_cpu_seconds"]) / groups.cpu_seconds for run, groups in pairs]
    memory = pairs[0][0].extra
    return [
        Figure("2 h of 1080p, a frame per 10 s: wall against the wanted groups", statistics.median(walls), 1.5,
               spread=(max(walls) - min(walls)) / 2),
        Figure("2 h of 1080p, a frame per 10 s: CPU against the wanted groups", statistics.median(cpus), None,
               spread=(max(cpus) - min(cpus)) / 2),
        Figure("2 h of 1080p: wall", statistics.median(product.wall_seconds for product, _ in pairs), None, unit="s"),
        Figure("2 h of 1080p: worker's peak growth", memory["worker_mib"], memory["worker_bar_mib"], unit="MiB"),
        Figure("2 h of 1080p: child's peak", memory["child_mib"], memory["child_bar_mib"], unit="MiB"),
    ]  # fmt: skip


def _stream(streams: Streams) -> Path:
    source = streams.path("h264-1080p-gop30")
    if not source.with_stem(STREAM).exists() and shutil.disk_usage(source.parent).free < _DISK_BYTES:
        raise MissingTool(f"the two hours of video need {_DISK_BYTES >> 30} GiB free in {source.parent}")
    return streams.path(STREAM)


def wanted_places(index: PacketIndex) -> NDArray[np.int64]:
    """Return the place of the first frame at or after each tenth second."""
    seconds = index.seconds - index.seconds[0]
    return np.unique(np.searchsorted(seconds, np.arange(0, seconds[-1], EVERY_SECONDS))).astype(np.int64)


def through_the_cage(path: Path) -> None:
    """Index and get the wanted frames, as a worker does; say what the two processes held at most."""
    with Cage() as cage:
        info = cage.probe(path)  # the child is warm, as in a worker
        resident, said, child = _status("self", "VmRSS"), {}, str(cage.pid)
        used = _cpu_seconds(child)

        def body() -> Mapping[str, Any]:
            wanted = wanted_places(cage.index(path))
            said["frames"] = sum(1 for _ in cage.frames(path, wanted, width=WIDTH))
            if said["frames"] != len(wanted):
                raise RuntimeError(f"{said['frames']} of {len(wanted)} frames came")
            allowed = peak(info, width=WIDTH, batch_size=1, cage_memory_bytes=MEMORY_BYTES)
            return said | {
                "worker_mib": (_status("self", "VmHWM") - resident) / MIB, "worker_bar_mib": allowed.worker_bytes / MIB,
                "child_mib": _status(child, "VmHWM") / MIB, "child_bar_mib": allowed.child_bytes / MIB,
                "child_cpu_seconds": _cpu_seconds(child) - used,  # it goes on, so nobody has reaped it
            }  # fmt: skip

        measured(body)


def wanted_groups(path: Path) -> None:
    """Decode from each wanted frame's keyframe to that frame, and nothing else."""
    import av  # noqa: PLC0415 - the product's side must not have it in its process

    with Cage() as cage:
        index = cage.index(path)
    wanted = index.pts[wanted_places(index)].tolist()

    def body() -> Mapping[str, Any]:
        found = 0
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            for pts in wanted:
                container.seek(pts, stream=stream)
                found += next(frame.pts for frame in container.decode(stream) if frame.pts >= pts) == pts
        if found != len(wanted):
            raise RuntimeError(f"{found} of {len(wanted)} frames came")
        return {"frames": found}

    measured(body)


def _status(process: str, name: str) -> int:
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


def _cpu_seconds(process: str) -> float:
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _index_only(path: Path) -> None:
    with Cage() as cage:
        count = len(cage.index(path))
    measured(lambda: {"frames": count})


if __name__ == "__main__":
    {"product": through_the_cage, "groups": wanted_groups, "index": _index_only}[sys.argv[1]](Path(sys.argv[2]))
