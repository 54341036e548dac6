"""The adaptive sampler's rule: what it costs beside the decode, and how stale the pictures are that it passes over.

``python -m bench.decode.adaptive FILE STRIDE`` is one measured run of the product's decode under it, for its memory.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from bench.decode.figures import Figure
from bench.decode.measuring import inside, measured, run_once
from bench.decode.product import frames_in, index_in, wanted_places
from bench.decode.streams import Streams, clips_folder
from pipeline.adaptive import Gate, Rule
from pipeline.cage_service import Service
from pipeline.luma import LumaReader
from pipeline.media import MediaLimits, PacketIndex
from pipeline.sampling import adaptive_rule

#: clips of the shared data whose camera stands still
STATIC_CLIPS = ("bottle_detection", "car_detection", "one_by_one_person")
#: stream and bar in MiB, as for the planned decode
_MEMORY = (("h264-720p-gop250", 40.0), ("h264-1080p-gop30", 65.0))
#: a point of the 160 x 90 picture is stale when it is off by more than this many grey levels
_STALE_LEVELS = 15
_SIDE = (160, 90)


def measure(streams: Streams, repetitions: int) -> list[Figure]:
    """Return the cost of the test on a 720p stream and the staleness on each clip of a static camera."""
    large, small = streams.path("h264-720p-gop250"), clips_folder() / "bottle_detection.mp4"
    figures = [
        _figure("every frame", [_cost(large, 1) for _ in range(repetitions)], bar=0.02),
        _figure("1 in 5", [_cost(large, 5) for _ in range(repetitions)]),
        _figure("every, 360p", [_cost(small, 1) for _ in range(repetitions)]),
    ]
    for name in STATIC_CLIPS:
        ratio, worst, share = _staleness(clips_folder() / f"{name}.mp4")
        figures += [
            Figure(f"adaptive: p95 staleness to uniform's, {name}", ratio, 0.5),
            Figure(f"adaptive: largest staleness to uniform's, {name}", worst, None, gate=False),
            Figure(f"adaptive: share of frames kept, {name}", share, None, unit="of all", gate=False),
        ]
    return figures + _memory(streams)


def _memory(streams: Streams) -> list[Figure]:
    figures = []
    for name, bar in _MEMORY:
        for stride in ("1", "10"):
            grown = run_once(inside("bench.decode.adaptive", str(streams.path(name)), stride)).rss_growth_mib
            figures.append(Figure(f"adaptive: {name}, 1 in {stride}: peak RSS growth", grown or 0.0, bar, unit="MiB"))
    return figures


def _figure(of: str, shares: list[float], bar: float | None = None) -> Figure:
    spread = (max(shares) - min(shares)) / 2
    name = f"adaptive: luma test, CPU of decode, {of}"
    return Figure(name, statistics.median(shares), bar, spread=spread, gate=bar is not None)


def _frames(path: Path) -> Iterator[VideoFrame]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        yield from container.decode(stream)


def _rule() -> Rule:
    rule = adaptive_rule({"policy": "adaptive"})
    if rule is None:
        raise AssertionError("the adaptive sampler has a rule")
    return rule


def _index(path: Path) -> PacketIndex:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [(packet.pts, packet.is_keyframe) for packet in container.demux(stream) if packet.pts is not None]
        base = stream.time_base or Fraction(1, 1000)
    pts, key = zip(*sorted(packets), strict=True)
    return PacketIndex(np.array(pts, np.int64), np.array(key, np.bool_), base)


def _cost(path: Path, stride: int) -> float:
    """Return CPU of the rule over CPU of the decode of every frame, one thread; less what the clock costs."""
    gate, reader, tested, clock = Gate(_rule(), _index(path)), LumaReader(), 0, 0
    began = time.thread_time_ns()
    for place, frame in enumerate(_frames(path)):
        if place % stride:
            continue
        before = time.thread_time_ns()
        start = time.thread_time_ns()
        gate.keeps(place, partial(reader.cells, frame))
        end = time.thread_time_ns()
        tested, clock = tested + end - start, clock + start - before
    decoded = time.thread_time_ns() - began - tested - 2 * clock
    return (tested - clock) / decoded


def _staleness(path: Path) -> tuple[float, float, float]:
    """Return p95 and largest staleness over those of a uniform choice of as many frames, and the share kept.

    A frame's staleness: share of the picture that differs from the frame whose result it carries. Over the frames
    passed over alone.
    """
    gate, reader = Gate(_rule(), _index(path)), LumaReader()
    kept, pictures = list[int](), list[NDArray[np.int16]]()
    for place, frame in enumerate(_frames(path)):
        if gate.keeps(place, lambda frame=frame: reader.cells(frame)):  # type: ignore[misc]  # mypy cannot infer it
            kept.append(place)
        grey = frame.reformat(format="gray").to_ndarray()
        pictures.append(cv2.resize(grey, _SIDE, interpolation=cv2.INTER_AREA).astype(np.int16))
    uniform = np.unique(np.linspace(0, len(pictures), len(kept), endpoint=False).astype(np.int64))
    own, others = _stale(pictures, np.array(kept)), _stale(pictures, uniform)
    p95 = [float(np.percentile(each, 95)) for each in (own, others)]
    return p95[0] / p95[1], float(own.max() / others.max()), len(kept) / len(pictures)


def _stale(pictures: list[NDArray[np.int16]], kept: NDArray[np.int64]) -> NDArray[np.float64]:
    places = np.setdiff1d(np.arange(len(pictures)), kept)
    held = kept[np.searchsorted(kept, places, side="right") - 1]
    return np.array(
        [
            float((np.abs(pictures[place] - pictures[other]) > _STALE_LEVELS).mean())
            for place, other in zip(places, held, strict=True)
        ]
    )


def main(path: str, stride: str) -> None:
    """Index, decode, look at one frame in ``stride`` and shrink those that are kept, once, measured."""
    service, descriptor, gate = Service(asdict(MediaLimits())), os.open(path, os.O_RDONLY), _rule().as_json()

    def body() -> Mapping[str, Any]:
        _, key = index_in(service, descriptor)
        told = [head["type"] for head, _ in frames_in(service, descriptor, wanted_places(stride, key), gate=gate)]
        return {"frames": told.count("frame"), "of": len(key)}

    measured(body)


if __name__ == "__main__":
    main(*sys.argv[1:])
