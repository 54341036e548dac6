"""A cage that was asked for a GPU, on machines that have none; with one: test_cuda."""

from __future__ import annotations

import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.cage import Cage
from pipeline.cage_device import WantedDevice
from pipeline.decoder_choice import Verdict
from tests.media import Clip

ROOT = Path(__file__).parents[3]
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


#: what the child does with a device, but with the second decoder in its place
CONFINED = """
import json, os, sys, zlib
sys.path.insert(0, sys.argv[1])
from dataclasses import asdict
import numpy as np
from pipeline import cage_limits
from pipeline.acceleration import Acceleration
from pipeline.cage_preload import preload
from pipeline.cage_service import Service
from pipeline.cage_wire import no_tick
from pipeline.media import MediaLimits
from tests.second_decoder import SecondDecoder
from tests.unit.pipeline.test_acceleration import for_less
preload()
films = [os.open(name, os.O_RDONLY) for name in sys.argv[3:]]
in_force = cage_limits.restrict(int(sys.argv[2]) << 20, network_left=False, device_files=["/dev/zero"])
service = Service(asdict(MediaLimits()), Acceleration(SecondDecoder(), rule=for_less))
asked = {"op": "frames", "width": None, "gate": None}
for film, wanted in zip(films, (np.arange(0, 200, 5), np.arange(1))):
    pictures = []
    for head, picture in service.answer(asked, bytearray(wanted.tobytes()), film, no_tick):
        if head["type"] == "frame":
            pictures.append(zlib.crc32(np.ascontiguousarray(picture)))
    print(json.dumps({"pictures": pictures, "end": head, "files": in_force["files"], "memory": in_force["memory"]}))
"""


def test_decoding_works_and_is_bounded_in_what_is_left_of_the_cage_with_a_device(tmp_path: Path) -> None:
    small = Clip("small.mp4", frames=200, options={"preset": "ultrafast", "bf": "2"}).write(tmp_path)
    vast = Clip("vast.mp4", frames=1, width=6400, height=4800, options={"preset": "ultrafast"}, picture=flat)
    with Cage() as cage:
        expected = [zlib.crc32(frame.image) for frame in cage.frames(small, np.arange(0, 200, 5))]
    said = confined(120, small, vast.write(tmp_path))
    assert said[0]["pictures"] == expected
    assert (said[0]["end"]["decoder"]["why"], said[0]["files"], said[0]["memory"]) == ("quicker", True, True)
    assert (said[1]["pictures"], said[1]["end"]["code"]) == ([], "cage.memory")


def flat(number: int, width: int, height: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def confined(memory_mib: int, *films: Path) -> list[Any]:
    command = [sys.executable, "-c", CONFINED, str(ROOT), str(memory_mib), *map(str, films)]
    environment = {"OPENBLAS_NUM_THREADS": "1", "PATH": os.environ["PATH"]}
    with tempfile.TemporaryFile() as errors:  # as the cage's: libav's complaints are read back from it
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, check=False, timeout=120, env=environment)
        errors.seek(0)
        assert done.returncode == 0, errors.read().decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


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
