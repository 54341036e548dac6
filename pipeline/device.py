"""Which device a model runs on, what its errors mean, and what may be set to decode."""

from __future__ import annotations

import os
from collections.abc import Collection

from pipeline.errors import DeviceOutOfMemory, ModelError, PipelineError

#: what ``FQ_DECODE_DEVICE`` may be: a device that decodes where a trial is for it (``pipeline/acceleration.py``)
DECODE_DEVICE = r"^(cpu|cuda(:[0-9]{1,3})?)$"
#: what runtimes say when memory is short, in lower case; they have no common class for it
_OUT_OF_MEMORY = (
    "out of memory",
    "failed to allocate memory",
    "bad_alloc",
    "alloc_failed",
    "not enough memory",
    "defaultcpuallocator: can't allocate memory",
)


def choose_device(wanted: str, available: Collection[str]) -> str:
    """Return the device to use: ``wanted`` if available, for "auto" the first GPU, else "cpu".

    wanted: auto, cpu, cuda or cuda:<n>. available: what the runtime found, such as {"cpu", "cuda"}.
    Raises: ModelError with code ``device.unavailable``.
    """
    kind = wanted.partition(":")[0]
    if kind == "auto":
        return "cuda" if "cuda" in available else "cpu"
    if kind not in available:
        raise ModelError(
            f"no {wanted} device here; there is {', '.join(sorted(available))}",
            code="device.unavailable",
            advice="Set FQ_DEVICE=auto, or install the runtime's GPU build.",
        )
    return wanted


def bounded_threads(wanted: int) -> int:
    """Return how many threads one model call uses; 0 means the cores this process may use, at most 8.

    Runtimes themselves count the machine's cores, not those of the container or of this process.
    """
    return wanted if wanted > 0 else min(8, len(os.sched_getaffinity(0)))


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a runtime's error says that the device or the host has no room."""
    if isinstance(error, MemoryError | DeviceOutOfMemory):
        return True
    return type(error).__name__ == "OutOfMemoryError" or any(word in str(error).lower() for word in _OUT_OF_MEMORY)


def own_error(error: BaseException, doing: str) -> PipelineError:
    """Return a runtime's error as one of ours: DeviceOutOfMemory or ModelError; ``doing`` begins the message."""
    if isinstance(error, PipelineError):
        return error
    kind = DeviceOutOfMemory if is_out_of_memory(error) else ModelError
    text = " ".join(str(error).split())[:500]
    return kind(f"{doing}: {type(error).__name__}: {text}")
