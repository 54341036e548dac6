"""Devices, and what the errors of runtimes mean."""

from __future__ import annotations

import pytest

from pipeline.device import choose_device, is_out_of_memory, own_error
from pipeline.errors import DeviceOutOfMemory, MediaError, ModelError


@pytest.mark.parametrize(
    ("wanted", "available", "chosen"),
    [
        ("auto", {"cpu"}, "cpu"),
        ("auto", {"cpu", "cuda"}, "cuda"),
        ("cpu", {"cpu", "cuda"}, "cpu"),
        ("cuda:1", {"cpu", "cuda"}, "cuda:1"),
    ],
)
def test_a_device_is_chosen(wanted, available, chosen):
    assert choose_device(wanted, available) == chosen


@pytest.mark.parametrize("wanted", ["cuda", "cuda:0", "tpu", ""])
def test_a_device_that_is_not_there_is_told_not_replaced(wanted):
    with pytest.raises(ModelError) as caught:
        choose_device(wanted, {"cpu"})
    assert caught.value.code == "device.unavailable"


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (MemoryError(), True),
        (OutOfMemoryError("CUDA"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            True,
        ),
        (RuntimeError("Non-zero status code: Failed to allocate memory for requested buffer of size 123"), True),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("memory layout"), False),
    ],
)
def test_out_of_memory_is_known_by_what_runtimes_say(error, full):
    assert is_out_of_memory(error) is full
    assert isinstance(own_error(error, "m failed"), DeviceOutOfMemory if full else ModelError)


def test_an_error_of_ours_stays_itself_and_a_long_one_is_cut():
    mine = MediaError("x")
    assert own_error(mine, "m failed") is mine
    told = own_error(ValueError("line\n" * 500), "m failed").message
    assert told.startswith("m failed: ValueError: line line")
    assert len(told) < 600
