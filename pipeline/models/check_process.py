"""The self-check of weights that nobody here vouches for, in a process of its own.

A model is a program for its runtime: it may ask for any memory, never end, or crash whoever runs it. Here that is a
process with bounds on memory, time and the files it may grow, without our environment, that has nothing else in hand
and dies with its parent. The bounds hold for honest mistakes and for files made to break a worker. They are no cage:
code that a file got its runtime to run could wait for the worker that serves it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pipeline.errors import DeviceOutOfMemory, ModelError
from pipeline.models.card import ModelCard
from pipeline.models.check import CheckReport

#: what runtimes hold of weights beside their file: as they are read, as they are kept, and prepared for the processor
WEIGHTS_COPIES = 3
#: an archive is copied before torch reads it; its code is stored unpacked there
_SPARE_FILE_BYTES = 128 * 1024**2
_LOOK_SECONDS = 0.25
_RESIDENT = re.compile(r"^Rss(?:Anon|Shmem):\s+([0-9]+) kB$", re.MULTILINE)
_MAX_ANSWER_BYTES = 64 * 1024
_ROOT = Path(__file__).resolve().parents[2]
#: what runtimes need of our environment; nothing of it is secret
_NEEDED = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
_NEEDED_BEGIN = ("CUDA", "NVIDIA_", "OMP_", "MKL_", "OPENBLAS_")


@dataclass(frozen=True, slots=True)
class Checked:
    """What the self-check found, how long loading took, the runtime itself not counted, and whether on a GPU."""

    report: CheckReport
    load_seconds: float
    on_gpu: bool


def check_apart(
    card: ModelCard,
    weights: Path,
    *,
    device: str,
    threads: int,
    memory_bytes: int,
    seconds: float,
    tick: Callable[[], None],
) -> Checked:
    """Load weights and run the self-check in another process.

    memory_bytes: what it may take beside ``WEIGHTS_COPIES`` times the weights. seconds: how long it may take. tick:
    called some times a second; what it raises ends the check.
    Raises: ModelError, also with code ``model.check_died`` or ``model.check_timed_out``, and DeviceOutOfMemory.
    """
    size = weights.stat().st_size
    limits = {"memory_bytes": memory_bytes + WEIGHTS_COPIES * size, "file_bytes": size + _SPARE_FILE_BYTES}
    asked = {
        "card": card.as_json(), "weights": str(weights.resolve()), "device": device, "threads": threads,
        "parent": os.getpid(), "main_thread": threading.current_thread() is threading.main_thread(), **limits,
    }  # fmt: skip
    with tempfile.TemporaryFile() as told, _started(asked, told) as process:
        ends = time.monotonic() + seconds
        while process.poll() is None:
            tick()
            if _resident(process.pid) > limits["memory_bytes"]:
                raise DeviceOutOfMemory(f"{card.name} needs more than {limits['memory_bytes']} bytes of memory")
            if time.monotonic() > ends:
                raise ModelError(f"the check took more than {seconds:.0f} s", code="model.check_timed_out")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_SECONDS)
        if process.returncode:
            raise _died(process.returncode, limits["memory_bytes"])
        told.seek(0)
        return _answer(told.read(_MAX_ANSWER_BYTES))


@contextmanager
def _started(asked: Mapping[str, Any], told: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Start the process; it and what it started are gone when the block ends."""
    life_end, life = os.pipe()
    with tempfile.TemporaryFile() as request:
        request.write(json.dumps(asked).encode())
        request.seek(0)
        try:
            process = subprocess.Popen(
                [sys.executable, "-E", "-s", "-m", "pipeline.models.check_child", str(life_end)],
                stdin=request, stdout=told, stderr=subprocess.DEVNULL, pass_fds=(life_end,), cwd=_ROOT,
                env=_environment(os.environ), start_new_session=True,
            )  # fmt: skip
        except BaseException:
            os.close(life)
            raise
        finally:
            os.close(life_end)
    try:
        yield process
    finally:
        os.close(life)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _resident(pid: int) -> int:
    """Return the bytes of memory that a process has of its own, however it got them; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    return sum(int(kibibytes) * 1024 for kibibytes in _RESIDENT.findall(status))


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in ours.items() if name in _NEEDED or name.startswith(_NEEDED_BEGIN)}


def _died(code: int, memory_bytes: int) -> ModelError:
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return ModelError(
        f"the process of the check ended {how}: these weights crash it, or need more than {memory_bytes} bytes",
        code="model.check_died",
    )


def _answer(text: bytes) -> Checked:
    """Read what the process told. Raises: ModelError, DeviceOutOfMemory."""
    try:
        told = json.loads(text)
        if "error" not in told:
            report = {**told["report"], "faults": tuple(told["report"]["faults"])}
            return Checked(CheckReport(**report), float(told["load_seconds"]), told["on_gpu"] is True)
        code, message, advice = (told["error"][name] for name in ("code", "message", "advice"))
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError("the process of the check told nothing that can be read", code="model.check_died") from error
    raise (DeviceOutOfMemory if code == DeviceOutOfMemory.code else ModelError)(message, code=code, advice=advice)
