"""Real and hostile files, each through the cage, against a second opinion that shares no code with it."""

from __future__ import annotations

import csv
import os
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from pipeline.cage import Cage
from pipeline.errors import CageError, MediaError
from pipeline.frame import Frame
from pipeline.sampling import choose
from tests.reference_decode import reference_decode
from tests.services import shared_folder

DATA = shared_folder() / "data"


def listed(folder: str, *suffixes: str) -> list[str]:
    """Return the manifest's paths in a folder, relative to ``data``."""
    with (DATA / "manifest.csv").open() as file:
        paths = [row["path"].removeprefix("shared/data/") for row in csv.DictReader(file)]
    return [path for path in paths if path.startswith(folder) and path.endswith(suffixes or ("",))]


FILMS = [path for path in listed("videos/", ".mp4", ".mkv", ".mov", ".ts", ".avi", ".webm") if "audio_only" not in path]
GIFS = [*listed("videos/", ".gif"), "images/formats/animated_iss.gif"]
PHOTOS = [
    path for path in listed("images/", ".jpg", ".png", ".webp", ".avif", ".mpo", ".tiff", ".jpeg")
    if "animated" not in path
]  # fmt: skip
ANIMATIONS = {"animated.apng.png": 41, "animated.avifs": 5, "animated_iss.gif": 42, "animated_iss.webp": 42}
HOSTILE = [path for path in listed("malformed/") if not path.endswith(("secret.txt", "canary.ts"))]
#: files whose manifest row promises pictures in spite of the damage
SHOWN = {
    "bitflips.mp4", "bitflips.webm", "cut.avi", "cut.gif", "cut.mkv", "cut_faststart.mp4", "corrupted_frames.mp4",
    "discard_first_keyframe.mp4", "jpeg_zip_polyglot.jpg", "mp4_named.jpg", "png_named.mp4", "huge_box_size.mp4",
}  # fmt: skip
BOMBS = ["own/bomb_60000x60000.png", "own/bomb_65535.gif", "giant_20000x14000.jpg", "Bad_reallybig.bmp",
         "decompression_bomb.gif", "decompression_bomb_extents.gif"]  # fmt: skip


@pytest.fixture(scope="module")
def cage() -> Iterator[Cage]:
    with Cage(answer_seconds=15) as cage:
        yield cage


def memory(pid: int | None, name: str) -> float:
    """Return a field of /proc/<pid>/status in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name + ":"))


def checksum(frame: Frame) -> int:
    return zlib.crc32(np.ascontiguousarray(frame.image))


@pytest.mark.parametrize("name", FILMS)
def test_every_frame_and_every_sampled_frame_equals_that_of_a_full_decode(cage: Cage, name: str) -> None:
    reference = reference_decode(DATA / name)
    info = cage.probe(DATA / name)
    index = cage.index(DATA / name)
    assert info.kind == "video"
    assert index.timed
    assert index.pts.tolist() == reference.pts
    end = np.arange(max(0, len(index) - 8), len(index))
    for places in (choose(index, {"policy": "stride", "stride": 5}), choose(index, {"policy": "keyframes"}), end):
        frames = [(frame.pts, checksum(frame)) for frame in cage.frames(DATA / name, places)]
        assert frames == [(reference.pts[place], reference.checksums[place]) for place in places]
    assert cage.warnings == ()


@pytest.mark.parametrize("name", GIFS)
def test_a_gif_shows_the_pictures_and_times_that_libav_finds(cage: Cage, name: str) -> None:
    index = cage.index(DATA / name)
    frames = cage.frames(DATA / name, np.arange(len(index)))
    with av.open(str(DATA / name)) as container:
        shown = [(frame.pts, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    assert index.pts.tolist() == [10 * pts for pts, _ in shown]
    for frame, (_, expected) in zip(frames, shown, strict=True):
        assert np.abs(frame.image.astype(int) - expected).mean() < 1


def opened_with_pillow(path: Path) -> np.ndarray:
    """Return the upright picture as RGBA; 16-bit samples by their upper byte."""
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):
            upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
        return np.asarray(upright.convert("RGBA"))


@pytest.mark.parametrize("name", PHOTOS)
def test_a_photo_is_the_one_that_an_image_library_shows(cage: Cage, name: str) -> None:
    expected = opened_with_pillow(DATA / name)
    info = cage.probe(DATA / name)
    (frame,) = cage.frames(DATA / name, np.array([0]))
    assert (info.kind, info.height, info.width) == ("image", *expected.shape[:2])
    solid = expected[..., 3] == 255
    assert frame.image.shape[:2] == expected.shape[:2]
    assert np.abs(frame.image.astype(int) - expected[..., :3])[solid].sum() <= 3 * solid.sum()
    (small,) = cage.frames(DATA / name, np.array([0]), width=64)
    assert small.image.shape[1] == min(64, info.width)


def test_a_heif_photo_is_the_one_that_libav_shows(cage: Cage) -> None:
    path = DATA / "images/formats/plain.heif"
    with av.open(str(path)) as container:
        expected = next(container.decode(video=0)).to_ndarray(format="rgb24")
    (frame,) = cage.frames(path, np.array([0]))
    assert np.abs(frame.image.astype(int) - expected).mean() < 3


@pytest.mark.parametrize(("name", "count"), ANIMATIONS.items())
def test_an_animation_has_all_its_pictures(cage: Cage, name: str, count: int) -> None:
    path = DATA / "images/formats" / name
    info = cage.probe(path)
    frames = list(cage.frames(path, np.arange(len(cage.index(path)))))
    assert (info.kind, info.frames, len(frames)) == ("animation", count, count)
    assert len({checksum(frame) for frame in frames}) > 1


def test_a_file_without_pictures_is_refused(cage: Cage) -> None:
    with pytest.raises(MediaError) as caught:
        cage.probe(DATA / "videos/edge/audio_only.mp4")
    assert caught.value.code == "media.no_video"


def outcome(cage: Cage, path: Path) -> tuple[str, str, list[Frame]]:
    """Take a file the whole way; return the error's code and words, or the frames."""
    try:
        cage.probe(path)
        return "", "", list(cage.frames(path, np.arange(len(cage.index(path))), width=640))
    except (MediaError, CageError) as error:
        return error.code, f"{error.message} {error.advice}", []


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_ends_soon_with_a_code_or_with_frames_and_harms_nobody(cage: Cage, name: str) -> None:
    secret = (DATA / "malformed/own/secret.txt").read_text().strip()
    began = time.monotonic()
    code, words, frames = outcome(cage, DATA / name)
    assert time.monotonic() - began < 20
    assert code.startswith("media.") if not frames else code == ""
    assert bool(frames) or Path(name).name not in SHOWN
    assert secret not in words + str(cage.warnings)
    for frame in frames:
        red, green, blue = frame.image.reshape(-1, 3).mean(axis=0)
        assert not (red > 180 and blue > 180 and green < 90)
    assert cage.probe(DATA / "videos/edge/one_frame_mpeg4.mp4").frames == 1


@pytest.mark.parametrize(
    "name", ["own/cut.avi", "own/cut.mkv", "own/cut_faststart.mp4", "own/cut.gif", "own/bitflips.mp4",
             "corrupted_frames.mp4", "own/mp4_named.jpg"],
)  # fmt: skip
def test_damage_that_still_gives_frames_is_named(cage: Cage, name: str) -> None:
    _, _, frames = outcome(cage, DATA / "malformed" / name)
    assert frames
    assert {warning["code"] for warning in cage.warnings} == {"media.damaged"}


@pytest.mark.parametrize("name", BOMBS)
def test_a_pixel_bomb_is_refused_at_the_cost_of_a_few_megabytes(name: str) -> None:
    with Cage() as cage:
        _ = cage.in_force
        before = memory(cage.pid, "VmHWM")
        code, _, _ = outcome(cage, DATA / "malformed" / name)
        assert code == "media.too_large"
        assert memory(cage.pid, "VmHWM") - before < 50


def test_all_hostile_files_together_leave_parent_and_child_small() -> None:
    with Cage(answer_seconds=15) as cage:
        _ = cage.in_force
        before = memory(os.getpid(), "VmRSS")
        first = cage.pid
        for name in HOSTILE:
            outcome(cage, DATA / name)
        assert cage.pid == first  # not one of them crashed, hung or bloated it
        assert memory(cage.pid, "VmHWM") < 500
    assert memory(os.getpid(), "VmRSS") - before < 64


def test_an_8k_frame_fits_at_full_size() -> None:
    with Cage() as cage:
        (frame,) = cage.frames(DATA / "videos/edge/one_frame_8k.mp4", np.array([0]))
        assert frame.image.shape == (4320, 7680, 3)
        assert memory(cage.pid, "VmHWM") < 700


def test_two_hours_in_twenty_kilobytes_are_handled(cage: Cage) -> None:
    path = DATA / "videos/edge/two_hours_tiny.mp4"
    assert cage.probe(path).duration_seconds == pytest.approx(7200)
    index = cage.index(path)
    places = choose(index, {"policy": "fps", "fps": 0.01})
    assert [frame.pts_seconds for frame in cage.frames(path, places)] == pytest.approx(list(range(0, 7200, 100)))
