"""A cage that was asked for a GPU, on machines that have none; with one: test_cuda."""

from __future__ import annotations

import glob
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.cage import Cage
from pipeline.cage_device import WantedDevice
from pipeline.decoder_choice import Verdict
from tests.media import Clip

pytestmark = pytest.mark.skipif(bool(glob.glob("/dev/nvidia*")), reason="there is a GPU here")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Clip("film.mp4", frames=30, options={"preset": "ultrafast"}).write(tmp_path_factory.mktemp("film"))


@pytest.fixture
def cage() -> Iterator[Cage]:
    with Cage(device="cuda") as cage:
        yield cage


def decoded(cage: Cage, film: Path) -> int:
    return sum(1 for _ in cage.frames(film, np.arange(0, 30, 3)))


def test_without_the_device_the_cpu_decodes_and_it_is_told_why(cage: Cage, film: Path) -> None:
    assert cage.decoder is None
    assert decoded(cage, film) == 10
    assert cage.decoder == Verdict("cpu", "absent")
    assert cage.device_fault == "there is no /dev/nvidia*"


def test_without_the_device_no_protection_is_given_up(cage: Cage) -> None:
    assert [name for name, held in cage.in_force.items() if not held] == []
    limits = Path(f"/proc/{cage.pid}/limits").read_text().splitlines()
    (memory,) = (line.split() for line in limits if line.startswith("Max address space"))
    assert int(memory[3]) == 1536 << 20


def test_a_child_that_breaks_changes_nothing_for_one_that_had_no_device(cage: Cage, film: Path) -> None:
    decoded(cage, film)
    assert cage.pid is not None
    os.kill(cage.pid, signal.SIGSEGV)
    os.waitid(os.P_PID, cage.pid, os.WEXITED | os.WNOWAIT)
    assert decoded(cage, film) == 10
    assert (cage.decoder, cage.device_fault) == (Verdict("cpu", "absent"), "there is no /dev/nvidia*")


def test_a_device_is_left_out_after_a_break_until_it_is_due_again() -> None:
    device, served = WantedDevice("cuda:1"), Verdict("cuda:1", "quicker", 0.2, 0.3)
    assert (device.name, device.fault, device.verdict(served)) == ("cuda:1", "", served)
    device.broke()
    assert (device.name, device.fault) == ("cpu", "a decoding process broke with it")
    assert device.verdict(Verdict("cpu", "asked")) == Verdict("cpu", "broke")
    assert device.verdict(None) is None, "nothing was decoded"
    device.again()
    assert (device.name, device.fault, device.verdict(served)) == ("cuda:1", "", served)


def test_who_asks_for_the_cpu_has_nothing_to_leave_out() -> None:
    device = WantedDevice("cpu")
    device.broke()
    assert (device.name, device.fault) == ("cpu", "")
    assert device.verdict(Verdict("cpu", "asked")) == Verdict("cpu", "asked")


def test_a_child_that_was_killed_on_demand_says_nothing_against_the_device(cage: Cage, film: Path) -> None:
    decoded(cage, film)
    cage.kill()
    assert decoded(cage, film) == 10
    assert cage.decoder == Verdict("cpu", "absent")


def test_nobody_who_asks_for_no_device_hears_of_one(film: Path) -> None:
    with Cage() as cage:
        assert decoded(cage, film) == 10
        assert (cage.decoder, cage.device_fault) == (Verdict("cpu", "asked"), "")
