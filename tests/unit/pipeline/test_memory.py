"""The formula for peak memory holds: measured in processes of their own, for short videos and long ones."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pipeline.cage import Cage
from pipeline.media import MediaInfo
from pipeline.memory import BATCH_BYTES, MIB, ahead, batch_frames, peak
from pipeline.models.shelf import open_shelf
from pipeline.pipelines.catalog import load_pipelines
from pipeline.run import Work, WorkResult, plan_input, run_works
from pipeline.sensors.read import media_of, read_recording
from tests.media import Clip, noisy

ROOT = Path(__file__).parents[3]
#: what a process takes for itself while it works: code that runs for the first time, freed memory not yet given back
SLACK_BYTES = 24 * MIB

RUN = """
import json, sys
from pathlib import Path
from pipeline.cage import MEMORY_BYTES, Cage
from pipeline.memory import peak
from pipeline.pipelines.catalog import load_pipelines
from pipeline.models.shelf import open_shelf
from pipeline.run import Work, plan_input, run_works

def status(pid, name):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))

warm, path, width = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
pipeline = next(iter(load_pipelines(["motion"]).values()))
shelf = open_shelf(model_dir=None, cache_dir=None, mirror=None, device="cpu", threads=1, precision="fp32")
params = {"sampler": {"policy": "stride", "stride": 1}, "width": width}

def run(path):
    plan = plan_input(pipeline, path, params, cage, shelf)
    works = [Work("1", path, span, plan.media) for span in plan.ranges]
    rows = sum(len(result.rows) for result in run_works(pipeline, works, params, cage, shelf, checkpoint=print_nothing))
    return plan.media, rows

def print_nothing(done, total):
    return None

with Cage() as cage:
    run(warm)
    Path("/proc/self/clear_refs").write_text("5")
    before = status("self", "VmRSS")
    media, rows = run(path)
    worker, child = status("self", "VmHWM") - before, status(cage.pid, "VmHWM")
    said = peak(media, width=width, batch_size=8, cage_memory_bytes=MEMORY_BYTES)
print(json.dumps({"rows": rows, "worker": worker, "child": child, "said": said.as_json()}))
"""


def longer(source: Path, path: Path, times: int) -> Path:
    """Write the same packets ``times`` over, one after another."""
    with av.open(str(path), "w") as film:
        with av.open(str(source)) as clip:
            stream = film.add_stream_from_template(clip.streams.video[0])
        for turn in range(times):
            with av.open(str(source)) as clip:
                base, length = clip.streams.video[0].time_base, clip.streams.video[0].duration
                for packet in clip.demux(video=0):
                    if packet.size:
                        packet.stream, packet.time_base = stream, base
                        packet.pts, packet.dts = packet.pts + turn * length, packet.dts + turn * length
                        film.mux(packet)
    return path


def measured(warm: Path, path: Path, width: int) -> dict:
    command = [sys.executable, "-c", RUN, str(warm), str(path), str(width)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("width", [320, 4096], ids=["small frames", "frames at full size"])
def test_peak_memory_stays_within_the_formula_whatever_the_length(tmp_path: Path, width: int) -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("this system does not let a process forget its peak")
    warm = Clip("warm.mp4", frames=10).write(tmp_path)
    options = {"preset": "ultrafast", "bf": "2", "refs": "4", "g": "15"}
    short = Clip("short.mp4", frames=30, width=1280, height=720, options=options).write(tmp_path)
    found = {times: measured(warm, longer(short, tmp_path / f"{times}.mp4", times), width) for times in (1, 12)}
    for times, one in found.items():
        assert one["rows"] == 30 * times
        said = one["said"]
        shared = said["ring_slots"] * said["frame_bytes"]
        assert one["worker"] <= said["worker_bytes"] + SLACK_BYTES
        assert one["child"] <= said["child_bytes"] + shared + SLACK_BYTES
    assert found[12]["worker"] - found[1]["worker"] < SLACK_BYTES
    assert found[12]["child"] - found[1]["child"] < SLACK_BYTES


@pytest.mark.parametrize(("name", "mode"), [("deep.tiff", "F"), ("clear.png", "RGBA"), ("lossy.webp", "RGB")])
def test_a_still_takes_no_more_than_the_formula_says(tmp_path: Path, name: str, mode: str) -> None:
    small = np.random.default_rng(1).integers(0, 255, (200, 300, 4), np.uint8)
    picture = Image.fromarray(np.tile(small, (8, 8, 1))).convert("RGB" if mode == "F" else mode)
    (picture.convert("L").convert("F") if mode == "F" else picture).save(tmp_path / name)
    with Cage() as cage:
        media = cage.probe(tmp_path / name)
        (frame,) = cage.frames(tmp_path / name, np.zeros(1, np.int64))
        lines = Path(f"/proc/{cage.pid}/status").read_text().splitlines()
        child = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    said = peak(media, width=None, batch_size=8, cage_memory_bytes=1 << 40)
    assert frame.image.nbytes == said.frame_bytes
    assert child <= said.child_bytes + said.frame_bytes


def film(**facts: object) -> MediaInfo:
    base = {
        "kind": "video", "format": "mov", "codec": "h264", "width": 1920, "height": 1080, "rotation": 0,
        "duration_seconds": 60.0, "frame_rate": 30.0, "frames": 1800, "size_bytes": 10**7,
        "extra": {"pixel_format": "yuv420p"},
    }  # fmt: skip
    return MediaInfo(**{**base, **facts})


def test_only_the_index_grows_with_the_length_of_a_video() -> None:
    short, long = (
        peak(film(frames=frames), width=640, batch_size=8, cage_memory_bytes=1 << 31) for frames in (1000, 1_001_000)
    )
    assert long.total_bytes - short.total_bytes == 2 * 64 * 1_000_000
    assert (long.frame_bytes, long.held_frames, long.ring_slots) == (640 * 360 * 3, 10, 8)


def test_rows_grow_with_the_largest_segment_and_not_with_the_video() -> None:
    few, many = (peak(film(), width=640, batch_size=8, cage_memory_bytes=1 << 31, rows=rows) for rows in (100, 1100))
    assert many.worker_bytes - few.worker_bytes == 1000 * 2048


def test_the_rows_of_a_segment_take_no_more_than_is_said(tmp_path: Path) -> None:
    pipeline = load_pipelines(["motion"])["motion"]
    shelf = open_shelf(model_dir=None, cache_dir=None, mirror=None, device="cpu", threads=1, precision="fp32")
    params = {"sampler": {"policy": "stride", "stride": 1}}
    path = Clip("moving.mp4", frames=60, picture=noisy, codec="mpeg4").write(tmp_path)
    with Cage() as cage:
        plan = plan_input(pipeline, path, params, cage, shelf)
        work = Work("1", path, plan.ranges[0], plan.media)

        def run() -> list[WorkResult]:
            return list(run_works(pipeline, [work], params, cage, shelf, checkpoint=lambda done, total: None))

        run()  # what stays after the first time is no row's
        tracemalloc.start()
        try:
            held = run()
            with_rows = tracemalloc.get_traced_memory()[0]
            rows = sum(len(result.rows) for result in held)
            del held
            alone = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
    said = peak(plan.media, width=None, batch_size=8, cage_memory_bytes=1 << 31, rows=rows)
    assert rows == 60
    assert 0.2 * said.rows_bytes < with_rows - alone < said.rows_bytes


def test_deep_and_full_colour_take_the_decoder_more() -> None:
    def decoder(pixel_format: str) -> int:
        media = film(extra={"pixel_format": pixel_format})
        return peak(media, width=640, batch_size=8, cage_memory_bytes=1 << 40).decoder_bytes

    assert decoder("yuv420p") < decoder("yuv420p10le") == decoder("yuv444p") < decoder("yuv444p12le")


def test_the_child_is_never_said_to_take_more_than_its_limit() -> None:
    vast = film(width=16000, height=3000)
    assert peak(vast, width=None, batch_size=8, cage_memory_bytes=600 * MIB).child_bytes == 600 * MIB


@pytest.mark.parametrize("batch_size", [1, 2, 8, 32, 1024])
def test_slots_and_queue_together_hold_the_next_batch(batch_size: int) -> None:
    assert ahead(batch_size) >= 1
    assert ahead(batch_size) + 8 >= batch_size
    assert batch_frames(batch_size, 3) == batch_size
    assert (batch_frames(batch_size, 150 * MIB) - 1) * 150 * MIB < BATCH_BYTES


def test_an_input_that_does_not_say_how_many_frames_it_has_is_counted_by_its_length() -> None:
    unsaid = peak(film(frames=None, frame_rate=float(Fraction(25))), width=640, batch_size=8, cage_memory_bytes=1 << 31)
    assert unsaid.index_bytes == 64 * 1500


def test_a_recording_takes_what_the_formula_says_while_it_is_read(tmp_path: Path) -> None:
    path, count = tmp_path / "walk.csv", 50_000
    lines = (f"{number / 100:.2f},0.1,0.2,9.8,1,2,{number % 3}" for number in range(count))
    path.write_text("t,ax,ay,az,gx,gy,gz\n" + "\n".join(lines))
    tracemalloc.start()
    try:
        media = media_of(read_recording(path, {}))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    told = peak(media, width=None, batch_size=1, cage_memory_bytes=0)
    assert told.child_bytes == 0
    assert told.frame_bytes == 56 * count
    assert 0.3 * told.worker_bytes < most < told.worker_bytes
