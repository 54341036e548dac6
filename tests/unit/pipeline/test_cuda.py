"""A real GPU's decoder, inside the real cage and outside it; `make test-gpu` runs these."""

from __future__ import annotations

import os
import signal
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from pipeline import acceleration
from pipeline.acceleration import Acceleration
from pipeline.cage import Cage
from pipeline.cage_service import Service
from pipeline.cuda import Cuda, Opening
from pipeline.decoder_choice import Verdict
from pipeline.media import MediaLimits
from tests import barcodes
from tests.media import Clip
from tests.unit.pipeline.test_acceleration import answered, count, for_less

FRAMES = 300
CLIPS = [
    Clip("h264.mp4", frames=FRAMES, width=640, height=360, options={"preset": "veryfast", "bf": "2", "g": "60"}),
    Clip("hevc.mp4", codec="libx265", frames=FRAMES, width=640, height=360,
         options={"preset": "ultrafast", "x265-params": "log-level=none:keyint=60"}),
    Clip("vp9.webm", codec="libvpx-vp9", frames=FRAMES, width=640, height=360,
         options={"deadline": "realtime", "cpu-used": "8", "g": "60"}),
]  # fmt: skip
#: the GPU's decoder may be slower on such small films, but it must have been there, and right
TRIED = {"quicker", "slower"}


@pytest.fixture(scope="module")
def cages() -> Iterator[tuple[Cage, Cage]]:
    with Cage() as cpu, Cage(device="cuda") as cuda:
        yield cpu, cuda


def mapped(cage: Cage) -> str:
    return Path(f"/proc/{cage.pid}/maps").read_text()


@pytest.mark.gpu
def test_the_device_opens_and_only_the_cage_that_was_asked_for_it_loads_its_driver(cages: tuple[Cage, Cage]) -> None:
    cpu, cuda = cages
    assert cuda.device_fault == ""
    assert [name for name, held in cuda.in_force.items() if not held] == []
    _ = cpu.in_force
    assert ("libcuda" in mapped(cpu), "libcuda" in mapped(cuda)) == (False, True)


@pytest.mark.gpu
@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.name)
@pytest.mark.parametrize("stride", [1, 7])
def test_in_the_cage_its_pictures_are_those_of_the_cpu(
    cages: tuple[Cage, Cage], clip: Clip, stride: int, tmp_path: Path
) -> None:
    path, wanted = clip.write(tmp_path), np.arange(0, FRAMES, stride)
    expected, given = (
        [(frame.pts, zlib.crc32(frame.image)) for frame in cage.frames(path, wanted, width=320)] for cage in cages
    )
    assert given == expected
    verdict = cages[1].decoder
    assert verdict is not None
    assert verdict.why in TRIED, verdict


@pytest.mark.gpu
def test_a_child_that_broke_with_the_device_is_followed_by_one_in_the_whole_cage(tmp_path: Path) -> None:
    path = CLIPS[0].write(tmp_path)
    with Cage(device="cuda", recycle_after=1) as cage:
        assert (cage.device_fault, "libcuda" in mapped(cage)) == ("", True)
        assert cage.pid is not None
        os.kill(cage.pid, signal.SIGSEGV)
        os.waitid(os.P_PID, cage.pid, os.WEXITED | os.WNOWAIT)
        assert len(list(cage.frames(path, np.arange(0, FRAMES, 30)))) == 10
        assert (cage.decoder, "libcuda" in mapped(cage)) == (Verdict("cpu", "broke"), False)
        cage.probe(CLIPS[2].write(tmp_path))
        assert (cage.device_fault, "libcuda" in mapped(cage)) == ("", True)


@pytest.mark.gpu
def test_a_device_that_is_not_there_is_told(cages: tuple[Cage, Cage]) -> None:
    with Cage(device="cuda:99") as cage:
        assert cage.device_fault
        assert "libcuda" not in mapped(cage), "a child in the whole cage was started in its place"


@pytest.mark.gpu
@pytest.mark.parametrize("name", sorted({"h264.mp4", "hevc.mp4", "vp9.webm"} | {clip.name for clip in barcodes.PLAIN}))
def test_every_film_comes_as_from_the_cpu_though_the_device_decodes_all_it_can(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceleration, "_FEWEST_PACKETS", 1)
    own = next((clip for clip in CLIPS if clip.name == name), None)
    path = own.write(tmp_path) if own is not None else barcodes.make(name, tmp_path)
    limits = asdict(MediaLimits())
    on_device = Service(limits, Acceleration(Cuda("cuda"), rule=for_less))
    for stride in (1, 3, 17):
        wanted = np.arange(0, count(path), stride)
        given, expected = answered(on_device, path, wanted), answered(Service(limits), path, wanted)
        assert (given.places, given.checksums) == (expected.places, expected.checksums)
        assert given.why[1] not in {"different", "failed"} or own is None, given.end
        assert own is None or given.why == ("cuda", "quicker")


def test_without_a_driver_the_reason_is_told_and_nothing_is_raised() -> None:
    opening = Opening("cuda:99")
    opening.open()
    assert opening.device is None
    assert opening.fault
    nothing = Opening("cpu")
    nothing.open()
    assert (nothing.device, nothing.files, nothing.fault) == (None, (), "")
