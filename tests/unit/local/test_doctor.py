"""What the doctor says of the GPU's decoder, on machines without one."""

from __future__ import annotations

import glob
from pathlib import Path

import pytest

from deploy.local.doctor import Finding, decode_device
from deploy.local.home import Home

pytestmark = pytest.mark.skipif(bool(glob.glob("/dev/nvidia*")), reason="there is a GPU here")


def test_nobody_who_asks_for_no_gpu_is_bothered(tmp_path: Path) -> None:
    assert list(decode_device(Home(tmp_path))) == [
        Finding("ok", "videos are decoded by the CPU; no NVIDIA GPU is here")
    ]


def test_a_gpu_that_was_asked_for_and_cannot_decode_is_told_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FQ_DECODE_DEVICE", "cuda:1")
    (finding,) = decode_device(Home(tmp_path))
    assert finding.level == "note"
    assert finding.what == "videos are decoded by the CPU; cuda:1 cannot: there is no /dev/nvidia*"
    assert "driver" in finding.advice
