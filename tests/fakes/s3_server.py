"""A moto server in a process of its own; it proves the shapes of our S3 calls alone, for it takes any signature."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def s3_server(start_seconds: float = 60.0) -> Iterator[str]:
    """Run moto on a port of loopback that it finds itself and yield its URL."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=os.environ | {"PYTHONWARNINGS": "ignore"}
        )
        try:
            yield _url(process, log.fileno(), time.monotonic() + start_seconds)
        finally:
            process.kill()
            process.wait(10)


def _url(process: subprocess.Popen[bytes], log: int, deadline: float) -> str:
    """What the server says of itself once it listens."""
    while True:
        said = os.pread(log, 4096, 0).decode(errors="replace")
        if found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", said):
            return found[1]
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the moto server did not start: {said}")
        # its words can be waited for in no other way
        time.sleep(0.05)
