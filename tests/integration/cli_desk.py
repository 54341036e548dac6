"""A user's shell against the real web app on a live server; the work is done by hand."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from framequeue import Client
from framequeue.cli.main import run

from tests.integration.api_bed import Api, HandWorker, frame_rows


@dataclass
class Desk:
    """A user's shell: an address, a key, a folder with files; and a worker that the test plays."""

    api: Api
    url: str
    folder: Path
    capsys: pytest.CaptureFixture[str]
    out: str = ""
    err: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    def call(self, *arguments: str) -> int:
        """Run a command in this process; keep what it printed."""
        code = run(["--retries", "0", *arguments])
        self.out, self.err = self.capsys.readouterr()
        return code

    def documents(self) -> list[dict[str, Any]]:
        """What was printed, as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    def client(self) -> Client:
        """The client library with the same address and key."""
        return Client(self.api.secret, self.url)

    @contextmanager
    def working(self, jobs: int) -> Iterator[HandWorker]:
        """A worker that runs so many jobs in a thread of its own, as they come."""
        worker = self.api.worker()
        errors: list[BaseException] = []

        def work() -> None:
            try:
                for _ in range(jobs):
                    _take_when_there(worker)
            except BaseException as error:  # noqa: BLE001 - told to the test
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield worker
        finally:
            thread.join(30)
        assert not errors
        assert not thread.is_alive()


def _take_when_there(worker: HandWorker) -> None:
    tick = threading.Event()
    for _ in range(600):
        try:
            worker.run(frame_rows(3))
        except AssertionError as error:
            if "nothing to claim" not in str(error):
                raise
            tick.wait(0.05)
        else:
            return
    raise AssertionError("no job came")
