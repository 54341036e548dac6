"""Networks of runtime python that misbehave where they are opened."""

from __future__ import annotations

import mmap
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import ModelError


class Halves:
    """Says of every picture that both labels are as likely."""

    fixed_batch: int | None = None

    def __call__(self, batch: Any) -> dict[str, Any]:
        return {"output": np.full((len(batch), 2), 0.5, np.float32)}

    def close(self) -> None:
        """Nothing to free."""


def prints(weights: Path, device: str, threads: int) -> Halves:
    """Write over what the process is to tell."""
    print('{"error": "nothing of this is told"}', flush=True)
    os.write(1, b"nor of this")
    return Halves()


def crashes(weights: Path, device: str, threads: int) -> Halves:
    """End as a fault of memory would."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return Halves()


def grows(weights: Path, device: str, threads: int) -> Halves:
    """Ask for as much memory as the weights file says."""
    bytearray(int(weights.read_text()))
    return Halves()


def shares(weights: Path, device: str, threads: int) -> Halves:
    """Use as much memory as the weights file says, of a kind that no limit of a process counts, and hold it."""
    shared = mmap.mmap(-1, int(weights.read_text()))
    for place in range(0, len(shared), mmap.PAGESIZE):
        shared[place] = 1
    time.sleep(3600)
    return Halves()


def fills_disk(weights: Path, device: str, threads: int) -> Halves:
    """Grow a file beside the weights to as many bytes as they say."""
    with (weights.parent / "filled").open("wb") as file:
        for _ in range(int(weights.read_text()) // 2**20):
            file.write(bytes(2**20))
    return Halves()


def tells_environment(weights: Path, device: str, threads: int) -> Halves:
    """Say what the process has of its starter's environment."""
    raise ModelError(" ".join(sorted(os.environ)))


def waits(weights: Path, device: str, threads: int) -> Halves:
    """Write this process's id into the weights file, and never come back."""
    weights.write_text(str(os.getpid()))
    time.sleep(3600)
    return Halves()
