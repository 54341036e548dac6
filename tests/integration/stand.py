"""Workers and dispatchers of one test, on real Redis and PostgreSQL and a store in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from deploy.local.redis import EmbeddedRedis
from tests.integration.processes import Program, running
from tests.integration.queue_bed import Bed
from workers.doorbell import Bell

SLOW = "tests.fakes.slow_pipelines:Slow"
HANGS = "tests.fakes.slow_pipelines:HangsWhenBright"


class Stand:
    """Starts programs on one database, one Redis and one store."""

    def __init__(self, bed: Bed, folder: Path, stack: ExitStack, redis_server: EmbeddedRedis, **settings: Any) -> None:
        self.bed = bed
        self.redis_server = redis_server
        self.redis_url = redis_server.url()
        self.folder = folder
        self._stack = stack
        self._settings = {"redis_url": self.redis_url, **settings}

    def worker(self, module: str = "workers", arguments: Sequence[str] = (), **settings: Any) -> Program:
        """A worker that is ready: all children registered."""
        merged = {**self._settings, "scratch_dir": self.folder / "scratch", "concurrency": 1, **settings}
        program = self._stack.enter_context(running(module, self.folder, arguments, **merged))
        program.wait_for_event("worker.registered", merged["concurrency"])
        program.wait_for_event("worker.ready")
        return program

    def dispatcher(self, **settings: Any) -> Program:
        """A dispatcher whose duties run."""
        merged = {**self._settings, "alive_file": self.folder / "alive", **settings}
        program = self._stack.enter_context(running("workers.dispatcher", self.folder, **merged))
        program.wait_for_event("dispatcher.started")
        return program

    def ring(self, size_class: str = "short", count: int = 1) -> None:
        """Ring as web does, but now."""
        with Bell(self.redis_url) as bell:
            bell.send(f"cpu-{size_class}", count)
