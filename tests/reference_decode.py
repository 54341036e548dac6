"""A second opinion on what a video shows: plain sequential decoding, in a process of its own, with limits.

``python tests/reference_decode.py`` reads paths, one a line, and answers each with a line of JSON: the pts of every
frame, the size of each upright RGB picture, and its checksum. Shares no code with the pipeline: libav demuxes the
video stream that it thinks best, every packet goes to the decoder, swscale makes RGB, numpy turns it. What libav gives
for a packet of MPEG-1 or MPEG-2 that it refused is no picture, but what the memory held (``test_corpus_cut.py``).
"""

from __future__ import annotations

import atexit
import json
import resource
import select
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Reference:
    """pts (None where the decoder gives none), CRC-32 of the pixels and (height, width) of every frame in order."""

    pts: list[int | None]
    checksums: list[int]
    sizes: list[list[int]]


class _Decoder:
    """A warm child that decodes file after file."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None
        atexit.register(self.close)

    def ask(self, path: Path, seconds: float) -> Reference:
        if self._child is None or self._child.poll() is not None:
            self.close()
            self._child = subprocess.Popen(
                [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                text=True,
            )  # fmt: skip
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        print(path, file=child.stdin, flush=True)
        if not select.select([child.stdout], [], [], seconds)[0]:
            self.close()
            raise TimeoutError(f"no full decode of {path.name} within {seconds:g} s")
        return Reference(**json.loads(child.stdout.readline()))

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()
            with self._child:
                self._child = None


_DECODER = _Decoder()


def reference_decode(path: Path, seconds: float = 120) -> Reference:
    """Decode in a child process with limits on time and memory; nothing shown where the file cannot be opened."""
    return _DECODER.ask(path, seconds)


def _decode(path: str) -> Reference:
    import av

    shown, refused = Reference([], [], []), set[int | None]()
    try:
        with av.open(path) as container:
            stream = container.streams.best("video")
            if stream is None:
                return shown
            stream.codec_context.thread_count = 1  # threads conceal damage in another way each time
            try:
                for packet in container.demux(stream):
                    _show(shown, stream.codec_context, packet, refused)
            except (av.FFmpegError, IndexError):  # the latter where PyAV ends and another stream had turned up
                _show(shown, stream.codec_context, None, refused)
    except av.FFmpegError:
        pass
    return shown


def _show(shown: Reference, context: Any, packet: Any, refused: set[int | None]) -> None:
    import av

    try:
        frames = context.decode(packet)
    except (av.FFmpegError, EOFError):
        if packet is not None and packet.pts is not None and context.name in ("mpeg1video", "mpeg2video"):
            refused.add(packet.pts)
        return
    for frame in (frame for frame in frames if frame.pts not in refused):
        picture = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
        shown.pts.append(frame.pts)
        shown.checksums.append(zlib.crc32(np.ascontiguousarray(picture)))
        shown.sizes.append(list(picture.shape[:2]))


def _main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    for line in sys.stdin:
        print(json.dumps(_decode(line.rstrip("\n")).__dict__), flush=True)


if __name__ == "__main__":
    _main()
