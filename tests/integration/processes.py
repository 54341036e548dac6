"""Workers and dispatchers as processes of their own, as an operator starts them; ended by their pid."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from deploy.local.redis import EmbeddedRedis
from tests.integration.queue_bed import local_settings, wait_until
from tests.services import REPOSITORY

START_SECONDS = 60.0


class Program:
    """One process and its log."""

    def __init__(self, module: str, arguments: Sequence[str], log_path: Path, settings: dict[str, str]) -> None:
        self.log_path = log_path
        environment = {**os.environ, **settings, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}
        with log_path.open("wb") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", module, *arguments], cwd=REPOSITORY, env=environment, stdout=log, stderr=log
            )

    @property
    def pid(self) -> int:
        """Of the main process."""
        return self.popen.pid

    def events(self, *words: str) -> list[dict[str, Any]]:
        """JSON lines of the log with one of these event words."""
        lines = self.log_path.read_text(errors="replace").splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [one for one in found if one.get("event") in words]

    def wait_for_event(self, word: str, count: int = 1, *, seconds: float = START_SECONDS) -> list[dict[str, Any]]:
        """Wait until the log has ``count`` events of this word; fails with the log when the process ends instead."""

        def look() -> list[dict[str, Any]]:
            assert self.popen.poll() is None, self.log_path.read_text(errors="replace")[-4000:]
            return self.events(word)

        return wait_until(look, lambda found: len(found) >= count, seconds=seconds)  # type: ignore[no-any-return]

    def pool_children(self) -> list[int]:
        """Pids of the pool's children; the cages are theirs."""
        return [child.pid for child in psutil.Process(self.pid).children()]

    def stop(self, timeout_seconds: float = 30.0) -> int:
        """SIGTERM, then wait; SIGKILL to it and its children if it does not end."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.popen.returncode

    def kill(self) -> None:
        """SIGKILL to the main process; its children die with it."""
        self.popen.kill()
        self.popen.wait(10)


@contextmanager
def frozen(server: EmbeddedRedis) -> Iterator[None]:
    """Redis that accepts connections and answers nothing."""
    os.kill(server.child.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.child.pid, signal.SIGCONT)


@contextmanager
def running(module: str, folder: Path, arguments: Sequence[str] = (), **settings: Any) -> Iterator[Program]:
    """Start ``python -m module`` with ``FQ_*`` settings; stop it at the end."""
    named = {f"FQ_{name.upper()}": str(value) for name, value in settings.items()}
    log_path = folder / f"{module}-{len(list(folder.glob(module + '-*')))}.log"
    program = Program(module, arguments, log_path, {**local_settings(folder / "objects"), **named})
    try:
        yield program
    finally:
        program.stop()
