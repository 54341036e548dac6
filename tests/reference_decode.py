"""A second opinion on what a video shows: plain sequential decoding, in a process of its own, with limits.

``python tests/reference_decode.py VIDEO`` prints JSON: the pts of every frame and a checksum of each upright
RGB picture. Shares no code with the pipeline.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Reference:
    """pts (None where the decoder gives none) and CRC-32 of the pixels, for every frame in order."""

    pts: list[int | None]
    checksums: list[int]


def reference_decode(path: Path, seconds: float = 120) -> Reference:
    """Decode in a child process with limits on time and memory."""
    done = subprocess.run(
        [sys.executable, __file__, str(path)], capture_output=True, timeout=seconds, check=True, text=True
    )
    return Reference(**json.loads(done.stdout))


def _main(path: str) -> None:
    import av

    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    pts, checksums = [], []
    with av.open(path) as container:
        stream = container.streams.best("video")
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            for frame in frames:
                picture = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
                pts.append(frame.pts)
                checksums.append(zlib.crc32(np.ascontiguousarray(picture)))
    print(json.dumps({"pts": pts, "checksums": checksums}))


if __name__ == "__main__":
    _main(sys.argv[1])
