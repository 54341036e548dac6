"""The frames' way out of the cage: nothing that a taken-over child says or does there harms the parent."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.cage import Cage
from pipeline.cage_ring import Ring, slots_of
from pipeline.errors import CageError
from pipeline.media import MediaLimits
from tests.liar import write_liar
from tests.media import Clip, read_barcode

MIB = 1 << 20


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Clip("clip.mp4", frames=60, options={"preset": "veryfast", "g": "12"}).write(tmp_path_factory.mktemp("ring"))


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        ("frame()", "picture of 2 x 2 pixels, and gave none"),
        ("room(11); frame()", "picture of 2 x 2 pixels, and gave none"),
        ("room(1 << 20); frame(height=9000, width=9000)", "picture of 9000 x 9000 pixels"),
        ("room(1 << 20); frame(width=101)", "picture of 101 x 2 pixels"),
        ("room(12); frame(height=0)", "height"),
        ("room(12); frame(height=-2, width=-2)", "height"),
        ("room(12); frame(width=2.0)", "width"),
        ("room(12); frame(place=1)", "frame 1, which was not wanted"),
        ("room(12); frame(place=True)", "place"),
        ("room(12); frame(); frame()", "frame 0, which was not wanted"),
        ("room(12); frame(seconds=math.nan)", "seconds"),
        ("room(12); frame(scale=0)", "scale"),
        ("room(12); frame(pts='now')", "pts"),
        ("room(12); frame(pts=10**30)", "pts"),
        ("room(12); frame(warnings=[1])", "warned"),
        ("room(0)", "slot of 0 bytes"),
        ("room(-4096)", "slot of -4096 bytes"),
        ("room(1 << 60)", "slot of"),
        ("room(12); room(12)", "slot of 12 bytes"),
        ("say(dict(bytes=1))", "without a type"),
        ("say(dict(type='error'))", "kind"),
        ("say(dict(type='end'), bytes(30 << 20))", "larger than any of ours"),
        ("os.write(answers, struct.pack('<IQ', 1 << 30, 0))", "larger than any of ours"),
        ("os.write(answers, struct.pack('<IQ', 4, 0) + b'oops')", "not JSON"),
        ("os.write(answers, struct.pack('<IQ', 200_000, 0) + b'[' * 200_000)", "not JSON"),
        ("os.write(answers, struct.pack('<IQ', 5, 0) + b'[1,2]')", "without a type"),
    ],
)
def test_a_child_that_lies_about_a_frame_is_ended(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, lie: str, told: str
) -> None:
    monkeypatch.setattr(sys, "executable", str(write_liar(tmp_path, lie)))
    with Cage(answer_seconds=10) as cage:
        with pytest.raises(CageError) as caught:
            list(cage.frames(clip, np.array([0, 2, 4]), width=100))
        assert caught.value.code == "cage.crashed"
        assert told in caught.value.message
        assert cage.pid is None


@pytest.mark.parametrize(
    ("question", "lie", "told"),
    [
        ("index", "say(dict(type='result', count=2, timed=True, time_base=[1, 25]), bytes(9))", "2 frames in 9 bytes"),
        ("index", "say(dict(type='result', count=-1, timed=True, time_base=[1, 25]))", "count"),
        ("index", "say(dict(type='result', count=2, timed=True, time_base=[1, 25]), bytes(18))", "does not rise"),
        ("index", "say(dict(type='result', count=1, timed=True, time_base=[1, 0]), bytes(9))", "time base"),
        ("index", "say(dict(type='result', count=1, timed=1, time_base=[1, 25]), bytes(9))", "timed"),
        ("probe", "say(dict(type='result'))", "info"),
        ("probe", "say(dict(type='result', info=dict(kind='video')))", "other words"),
        ("probe", "frame()", "info"),
    ],
)
def test_a_child_that_lies_about_an_input_is_ended(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, question: str, lie: str, told: str
) -> None:
    monkeypatch.setattr(sys, "executable", str(write_liar(tmp_path, lie)))
    with Cage(answer_seconds=10) as cage:
        with pytest.raises(CageError, match=told) as caught:
            getattr(cage, question)(clip)
        assert caught.value.code == "cage.crashed"
        assert cage.pid is None


@pytest.mark.parametrize(
    "lie",
    [
        "while True: say(dict(type='tick'))",
        "while True: say(dict(type='tick')); time.sleep(0.2)",
        "for byte in pack(dict(type='tick'), 0) * 999: os.write(answers, bytes([byte])); time.sleep(0.2)",
        "for size in range(1, 1 << 30): say(dict(type='room', bytes=size))",
        "while True: hear()",
    ],
    ids=["ticks without end", "slow ticks", "trickle", "rooms without end", "silence"],
)
def test_a_child_that_never_comes_to_an_end_is_ended(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    monkeypatch.setattr(sys, "executable", str(write_liar(tmp_path, lie)))
    with Cage(answer_seconds=1.0, request_seconds=1.5) as cage:
        _ = cage.in_force
        began = time.monotonic()
        with pytest.raises(CageError) as caught:
            list(cage.frames(clip, np.array([0])))
        assert time.monotonic() - began < 10
        assert caught.value.code == "cage.hung"
        assert cage.pid is None


def test_a_child_that_takes_no_tokens_is_ended_before_the_parent_blocks(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lie = "room(12)\nfor place in range(1 << 20): frame(place=place)"
    monkeypatch.setattr(sys, "executable", str(write_liar(tmp_path, lie)))
    with Cage(answer_seconds=10) as cage, pytest.raises(CageError) as caught:
        for _ in cage.frames(clip, np.arange(1 << 20)):
            pass
    assert caught.value.code == "cage.crashed"


def test_a_request_that_a_stopped_child_does_not_take_is_given_up(cage_of_a_second: Cage, clip: Path) -> None:
    os.kill(cage_of_a_second.pid or 0, signal.SIGSTOP)
    with pytest.raises(CageError) as caught:
        list(cage_of_a_second.frames(clip, np.arange(1 << 20)))
    assert caught.value.code == "cage.hung"
    assert len(list(cage_of_a_second.frames(clip, np.arange(3)))) == 3


@pytest.fixture
def cage_of_a_second() -> Cage:
    with Cage(answer_seconds=1.0) as cage:
        _ = cage.in_force
        yield cage


def test_a_child_can_neither_cut_the_memory_nor_change_a_picture_that_was_taken(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lie = """
memory = room(12)
for size in (0, 1 << 20):
    try:
        os.ftruncate(memory, size)
        os._exit(3)
    except PermissionError:
        pass
slots = mmap.mmap(memory, 8 * 12)
slots[:12] = bytes(range(12))
frame()
os.read(tokens, 1)
slots[:12] = bytes(12)
slots[12:24] = bytes([7]) * 12
frame(place=2)
say(dict(type="end"))
"""
    monkeypatch.setattr(sys, "executable", str(write_liar(tmp_path, lie)))
    with Cage(answer_seconds=10) as cage:
        first, second = list(cage.frames(clip, np.array([0, 2])))
    assert first.image.ravel().tolist() == list(range(12))
    assert second.image.ravel().tolist() == [7] * 12


def test_a_child_that_dies_amid_a_frame_costs_that_request_alone(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lie = "slots = mmap.mmap(room(12), 8 * 12); slots[:6] = bytes(6); os.kill(os.getpid(), 11)"
    with Cage(answer_seconds=10) as cage:
        with monkeypatch.context() as replaced:
            replaced.setattr(sys, "executable", str(write_liar(tmp_path, lie)))
            cage.kill()
            with pytest.raises(CageError, match="SIGSEGV"):
                list(cage.frames(clip, np.array([0])))
        assert [read_barcode(frame.image) for frame in cage.frames(clip, np.array([3, 59]))] == [3, 59]


def test_two_hundred_inputs_leave_nothing_behind(tmp_path: Path, clip: Path) -> None:
    def held() -> tuple[int, list[str]]:
        mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if "memfd:" in line]
        return len(os.listdir("/proc/self/fd")), mapped

    paths = [tmp_path / f"{number}.png" for number in range(198)]
    for number, path in enumerate(paths):
        Image.new("RGB", (16 + number, 16), (number, 0, 0)).save(path)
    broken = tmp_path / "broken.png"
    broken.write_bytes(paths[0].read_bytes()[:40])
    with Cage(recycle_after=90) as cage:
        cage.probe(clip)
        before = held()
        for number, path in enumerate(paths):
            (frame,) = cage.frames(path, np.array([0]))
            assert tuple(frame.image[0, 0]) == (number, 0, 0)
        with pytest.raises(Exception, match="damaged or cut short"):
            list(cage.frames(broken, np.array([0])))
        early = cage.frames(clip, np.arange(60))
        next(early)
        early.close()
        assert held() == before
    assert held()[0] < before[0]


def test_the_child_decodes_ahead_until_its_slots_are_full_and_no_further(clip: Path) -> None:
    with Cage() as cage:
        frames = cage.frames(clip, np.arange(60))
        next(frames)
        pid = cage.pid or 0
        come_to_rest(pid)
        os.kill(pid, signal.SIGKILL)
        ahead: list[int] = []
        with pytest.raises(CageError):
            ahead.extend(frame.index for frame in frames)
    assert ahead == list(range(1, 9))


def come_to_rest(pid: int) -> None:
    """Wait until a process waits, and has used no processor time for a while."""
    clock, used, since = (~pid << 3) | 2, -1.0, time.monotonic()
    end = since + 60
    while time.monotonic() - since < 0.3:
        assert time.monotonic() < end
        sleeps = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"
        if not sleeps or time.clock_gettime(clock) != used:
            used, since = time.clock_gettime(clock), time.monotonic()
        time.sleep(0.01)


def test_each_frame_has_its_own_memory_however_often_the_slots_are_used_again(clip: Path) -> None:
    with Cage() as cage:
        frames = list(cage.frames(clip, np.arange(60)))
    assert [read_barcode(frame.image) for frame in frames] == list(range(60))


def test_each_request_gets_slots_of_the_size_of_its_pictures(tmp_path: Path) -> None:
    sizes = [(20, 10), (40, 30), (30, 20), (64, 64)]
    pictures = [Image.new("RGB", size, (size[0], 0, 0)) for size in sizes]
    with Cage() as cage:
        for number, picture in enumerate(pictures):
            picture.save(tmp_path / f"{number}.png")
            (frame,) = cage.frames(tmp_path / f"{number}.png", np.array([0]))
            assert frame.image.shape == (*sizes[number][::-1], 3)
            assert np.all(frame.image[:, :, 0] == sizes[number][0])


@pytest.mark.parametrize(("slot_bytes", "slots"), [(1, 8), (8 * MIB, 8), (9 * MIB, 7), (32 * MIB, 2), (150 * MIB, 1)])
def test_a_ring_has_eight_slots_or_as_many_as_its_bytes_allow(slot_bytes: int, slots: int) -> None:
    assert slots_of(slot_bytes) == slots
    ring = Ring(slot_bytes)
    try:
        assert os.fstat(ring.descriptor).st_size == slots * slot_bytes
        with pytest.raises(PermissionError):
            os.ftruncate(ring.descriptor, 0)
    finally:
        ring.close()


def test_a_picture_above_the_limit_gets_no_slot(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(write_liar(tmp_path, "room(3001)")))
    with Cage(MediaLimits(max_pixels=1000), answer_seconds=10) as cage, pytest.raises(CageError, match="3001 bytes"):
        list(cage.frames(clip, np.array([0])))
