"""The product's own decode in one process: the service that the cage's child runs, asked as the cage asks it.

``python -m bench.decode.product FILE STRIDE`` is one measured run: open, index, plan, decode, shrink to 640 wide.
STRIDE is a number of frames or ``keyframes``.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.decode.measuring import measured
from pipeline.cage_preload import preload
from pipeline.cage_service import Service
from pipeline.cage_wire import no_tick
from pipeline.media import MediaLimits

WIDTH = 640


def index_in(service: Service, descriptor: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return pts and key of every frame in presentation order, as the cage's caller gets them."""
    head, payload = next(service.answer({"op": "index"}, bytearray(), descriptor, no_tick))
    count = head["count"]
    return np.frombuffer(payload, np.int64, count), np.frombuffer(payload, np.bool_, count, 8 * count)


def frames_in(
    service: Service,
    descriptor: int,
    wanted: NDArray[np.int64],
    width: int | None = WIDTH,
    gate: Mapping[str, float] | None = None,
) -> Iterator[tuple[Mapping[str, Any], memoryview | bytes]]:
    """Yield the messages of a request for frames. Raises: RuntimeError where the answer is an error."""
    for head, payload in service.answer(
        {"op": "frames", "width": width, "gate": gate}, bytearray(wanted), descriptor, no_tick
    ):
        if head["type"] == "error":
            raise RuntimeError(head["message"])
        yield head, payload


def wanted_places(stride: str, key: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the places of every ``stride``-th frame, or of the keyframes."""
    return np.flatnonzero(key) if stride == "keyframes" else np.arange(0, len(key), int(stride), dtype=np.int64)


def main(path: str, stride: str) -> None:
    """Do it once, measured."""
    preload()  # as the cage's child does at its start
    service = Service(asdict(MediaLimits()))
    descriptor = os.open(path, os.O_RDONLY)

    def body() -> Mapping[str, Any]:
        started, first, given = time.perf_counter(), None, 0
        _, key = index_in(service, descriptor)
        indexed = time.perf_counter() - started
        for head, _ in frames_in(service, descriptor, wanted_places(stride, key)):
            if head["type"] == "frame":
                given += 1
                first = first or time.perf_counter() - started
        return {"frames": given, "of": len(key), "index_seconds": indexed, "first_frame_seconds": first}

    measured(body)


if __name__ == "__main__":
    main(*sys.argv[1:])
