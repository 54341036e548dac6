"""Everything a runner works with, on fakes of queue, store and cage."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.models.shelf import open_shelf
from storage.job import InputRef, SegmentKind
from tests.fakes.fake_cage import FakeCage, FakeMedia
from tests.fakes.fake_pipeline import FakePipeline
from tests.fakes.memory_claims import MemoryClaims
from tests.fakes.memory_store import MemoryObjectStore
from workers.flags import SharedFlags
from workers.heartbeat import Pulse
from workers.runner import Runner
from workers.scratch import Scratch
from workers.station import Limits, Station
from workers.watchdog import Watchdog


class CageByContent(FakeCage):
    """The fake cage, told by a file's bytes which medium it plays: the scratch cache names files by identity."""

    def probe(self, path: Path) -> Any:
        return super().probe(_named(path))

    def packets(self, path: Path, *ticks: Any) -> Any:
        return super().packets(_named(path), *ticks)

    def index(self, path: Path, *ticks: Any, **named: Any) -> Any:
        return super().index(_named(path), *ticks, **named)

    def frames(self, path: Path, *arguments: Any, **named: Any) -> Any:
        return super().frames(_named(path), *arguments, **named)


def _named(path: Path) -> Path:
    return Path(path.read_text())


class Bells:
    """Keeps what was rung and told; ``taken`` says whether Redis takes rings."""

    def __init__(self) -> None:
        self.rings: list[tuple[str, str, int]] = []
        self.told: list[str] = []
        self.taken = True

    def ring(self, lane: str, size_class: str, count: int = 1) -> None:
        self.rings.append((lane, size_class, count))

    def heard(self, timeout_seconds: float) -> bool:
        return self.taken

    def tell(self, job_id: str) -> None:
        self.told.append(job_id)


class Queue(MemoryClaims):
    """Also says where rows lie, as JobStore does."""

    def segment_results(self, job_id: str, run: int) -> list[Any]:
        rows = [row for row in self.segments(job_id) if row.kind is SegmentKind.INFER]
        return sorted(rows, key=lambda row: row.index)


class World:
    """Everything of one test."""

    def __init__(self, folder: Path, stack: ExitStack, **limits: Any) -> None:
        self.queue = Queue()
        self.queue.register("w1")
        self.store = MemoryObjectStore()
        self.bells = Bells()
        self.pipeline = FakePipeline()
        self.cage = CageByContent(clip=FakeMedia(frames=50), still=FakeMedia(frames=1, kind="image"))
        self.pulse = stack.enter_context(Pulse("w1", self.queue, lambda: None, interval_seconds=60.0))
        scratch = stack.enter_context(Scratch(folder, "w1", self.store, max_bytes=10**6))
        self.station = Station(
            claims=self.queue, parts=self.queue, objects=self.store, scratch=scratch,
            pipelines={"fake": self.pipeline}, cage=self.cage, shelf=open_shelf(), doorbell=self.bells,
            hints=self.bells, pulse=self.pulse,
            watchdog=Watchdog(sys.stderr, arm=lambda *_, **__: None, disarm=lambda: None), flags=SharedFlags(),
            limits=Limits(**{"shift_seconds": 60.0, **limits}),
        )  # fmt: skip

    def add(self, medium: str, **fields: Any) -> str:
        key = f"inputs/{medium}-{len(self.queue.jobs)}/source"
        self.store.put(key, medium.encode())
        return self.queue.add_job(pipeline="fake", input=InputRef(key=key), **fields)

    def work(self, **changes: Any) -> dict[str, str]:
        return Runner(replace(self.station, **changes)).work("cpu", "short")

    def work_with(self, **limits: Any) -> dict[str, str]:
        return self.work(limits=replace(self.station.limits, **limits))
