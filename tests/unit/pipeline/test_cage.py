"""The cage outlives what it holds: a decoder that dies, hangs or bloats costs one request and no more."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.cage import Cage
from pipeline.errors import CageError, CageUnavailable, MediaError
from pipeline.media import MediaLimits
from tests.media import Clip, barcode, read_barcode

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Clip("clip.mp4", frames=60, options={"preset": "veryfast", "g": "12"}).write(tmp_path_factory.mktemp("cage"))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Few large frames: more than any pipe between the two processes holds."""
    return Clip("large.mp4", frames=12, codec="mpeg4", width=1920, height=1080).write(tmp_path_factory.mktemp("cage"))


@pytest.fixture
def cage() -> Iterator[Cage]:
    with Cage(answer_seconds=20) as cage:
        yield cage


def memory(pid: int, name: str) -> int:
    """Return a field of /proc/<pid>/status in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


def ended(pid: int, seconds: float = 10) -> bool:
    """Wait for a process that need not be ours to end."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def test_frames_come_in_order_with_index_pts_and_report(cage: Cage, clip: Path) -> None:
    index = cage.index(clip)
    frames = list(cage.frames(clip, np.array([0, 7, 30, 59]), report_from=10))
    assert [read_barcode(frame.image) for frame in frames] == [0, 7, 30, 59]
    assert [frame.index for frame in frames] == [0, 7, 30, 59]
    assert [frame.pts for frame in frames] == index.pts[[0, 7, 30, 59]].tolist()
    assert [frame.pts_seconds for frame in frames] == pytest.approx([0, 0.28, 1.2, 2.36])
    assert [frame.report for frame in frames] == [False, False, True, True]
    assert cage.warnings == ()


def test_frames_need_no_probe_and_no_index_before(cage: Cage, clip: Path) -> None:
    assert [frame.index for frame in cage.frames(clip, np.array([5]))] == [5]


def test_nothing_wanted_gives_nothing(cage: Cage, clip: Path) -> None:
    assert list(cage.frames(clip, np.zeros(0, np.int64))) == []


def test_a_killed_child_is_a_crash_and_the_next_request_works(cage: Cage, large: Path) -> None:
    frames = cage.frames(large, np.arange(12))
    next(frames)
    os.kill(cage.pid or 0, signal.SIGKILL)
    with pytest.raises(CageError) as caught:
        list(frames)
    assert caught.value.code == "cage.crashed"
    assert "SIGKILL" in caught.value.message
    assert len(list(cage.frames(large, np.arange(3)))) == 3


def test_a_child_that_died_between_requests_is_not_noticed(cage: Cage, clip: Path) -> None:
    cage.probe(clip)
    pid = cage.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert ended(pid)
    assert cage.probe(clip).width == 160
    assert cage.pid != pid


def test_a_silent_child_is_ended_as_hung_and_the_next_request_works(clip: Path) -> None:
    with Cage(answer_seconds=1.0) as cage:
        cage.probe(clip)
        pid = cage.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(CageError) as caught:
            cage.index(clip)
        assert caught.value.code == "cage.hung"
        assert ended(pid)
        assert len(cage.index(clip)) == 60


def test_a_long_index_tells_that_it_goes_on_and_can_be_stopped(tmp_path: Path, clip: Path) -> None:
    class EnoughError(Exception):
        pass

    def enough() -> None:
        raise EnoughError

    long = many_packets(clip, tmp_path / "long.mp4", 400_000)
    with Cage(MediaLimits(max_duration_seconds=1e6)) as cage:
        pid = cage.pid
        began = time.monotonic()
        with pytest.raises(EnoughError):
            cage.index(long, enough)
        stopped_after = time.monotonic() - began
        ticks: list[float] = []
        assert len(cage.index(long, lambda: ticks.append(time.monotonic()))) == 400_000
        assert len(ticks) >= 2
        assert stopped_after < ticks[-1] - began
        assert cage.pid == pid, "it was asked to stop, not killed"


def many_packets(clip: Path, path: Path, count: int) -> Path:
    """A film whose index is long and whose packets hold nothing."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as film:
        stream = film.add_stream_from_template(source.streams.video[0])
        for place in range(count):
            packet = av.Packet(bytes(8))
            packet.stream, packet.time_base, packet.duration = stream, Fraction(1, 25), 1
            packet.pts = packet.dts = place
            film.mux(packet)
    return path


def test_kill_from_another_thread_wakes_who_waits(cage: Cage, clip: Path) -> None:
    cage.probe(clip)
    os.kill(cage.pid or 0, signal.SIGSTOP)
    killer = threading.Timer(0.3, cage.kill)
    killer.start()
    with pytest.raises(CageError) as caught:
        cage.index(clip)
    killer.join()
    assert caught.value.code == "cage.crashed"
    assert cage.probe(clip).frames == 60


def test_too_much_memory_is_told_and_the_next_request_works(tmp_path: Path, clip: Path) -> None:
    huge = Clip("huge.mp4", frames=1, codec="mpeg4", width=4000, height=4000).write(tmp_path)
    with Cage() as cage:
        cage.probe(clip)
        room = memory(cage.pid or 0, "VmSize") + 60 * 1024**2
    with Cage(memory_bytes=room) as cage:
        with pytest.raises(CageError) as caught:
            list(cage.frames(huge, np.array([0])))
        assert caught.value.code == "cage.memory"
        assert len(list(cage.frames(clip, np.arange(60)))) == 60


def test_closing_the_frames_early_frees_the_cage(cage: Cage, large: Path, clip: Path) -> None:
    frames = cage.frames(large, np.arange(12))
    next(frames)
    pid = cage.pid
    frames.close()
    assert cage.probe(clip).frames == 60
    assert cage.pid == pid


def test_a_second_request_beside_running_frames_is_refused(cage: Cage, clip: Path) -> None:
    frames = cage.frames(clip, np.arange(60))
    next(frames)
    with pytest.raises(RuntimeError, match="another request"):
        cage.probe(clip)
    assert len(list(frames)) == 59


def test_an_exception_of_the_consumer_passes_through_and_frees_the_cage(cage: Cage, large: Path) -> None:
    def consume() -> None:
        for _ in cage.frames(large, np.arange(12)):
            raise KeyError

    with pytest.raises(KeyError):
        consume()
    assert cage.probe(large).frames == 12


def test_the_child_is_replaced_after_so_many_inputs(tmp_path: Path, clip: Path) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(clip.read_bytes())
    with Cage(recycle_after=2) as cage:
        pids = []
        for path in (clip, other, clip, other):
            cage.probe(path)
            cage.index(path)
            pids.append(cage.pid)
    assert pids[0] == pids[1] != pids[2] == pids[3]


@pytest.mark.parametrize("wanted", [[3, 2], [1, 1], [-1, 2], [[1, 2]]])
def test_places_that_do_not_rise_are_a_mistake_of_the_caller(cage: Cage, clip: Path, wanted: list) -> None:
    with pytest.raises(ValueError, match="rising"):
        cage.frames(clip, np.array(wanted))


def test_a_place_beyond_the_end_is_a_mistake_of_the_caller(cage: Cage, clip: Path) -> None:
    with pytest.raises(IndexError):
        list(cage.frames(clip, np.array([60])))
    assert cage.probe(clip).frames == 60


def test_only_files_are_opened(cage: Cage, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (tmp_path, tmp_path / "pipe.mp4"):
        with pytest.raises(MediaError) as caught:
            cage.probe(path)
        assert caught.value.code == "media.unsupported"
    with pytest.raises(FileNotFoundError):
        cage.probe(tmp_path / "none.mp4")


def test_limits_reach_the_child(clip: Path) -> None:
    with Cage(MediaLimits(max_pixels=1000)) as cage, pytest.raises(MediaError) as caught:
        cage.probe(clip)
    assert caught.value.code == "media.too_large"


def test_memory_stays_flat_in_child_and_parent_however_long_the_video(cage: Cage, tmp_path: Path) -> None:
    video = Clip("long.mp4", frames=1500, width=320, height=240, options={"preset": "ultrafast", "g": "50"}).write(
        tmp_path
    )
    own_before = memory(os.getpid(), "VmRSS")
    for frame in cage.frames(video, np.arange(1500)):
        if frame.index == 200:
            before = memory(cage.pid or 0, "VmHWM")
    assert memory(cage.pid or 0, "VmHWM") - before < 16 * 1024**2
    assert memory(os.getpid(), "VmRSS") - own_before < 64 * 1024**2


def test_a_place_far_inside_a_still_background_costs_no_more_memory(cage: Cage, clip: Path) -> None:
    cage.probe(clip)
    before = memory(cage.pid or 0, "VmHWM")
    for _ in range(20):
        list(cage.frames(clip, np.array([59])))
    assert memory(cage.pid or 0, "VmHWM") - before < 32 * 1024**2


def test_a_process_that_cannot_start_says_so(monkeypatch: pytest.MonkeyPatch, clip: Path) -> None:
    for program in ("/bin/false", "/nowhere/python"):
        monkeypatch.setattr(sys, "executable", program)
        with pytest.raises(CageUnavailable), Cage() as cage:
            cage.probe(clip)


def test_an_image_goes_the_same_way(cage: Cage, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(barcode(321, 320, 200)).save(tmp_path / "still.png")
    assert cage.probe(tmp_path / "still.png").kind == "image"
    (frame,) = cage.frames(tmp_path / "still.png", np.array([0]), width=160)
    assert frame.image.shape == (100, 160, 3)
    assert (frame.pts, frame.scale, read_barcode(frame.image)) == (0, 0.5, 321)
