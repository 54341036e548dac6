"""What comes with the pictures: times, warnings, size, rotation, colour. That they are the right ones: test_corpus."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.cage import Cage
from pipeline.frame import Frame
from tests import barcodes
from tests.media import HEIGHT, WIDTH, Clip, Picture, barcode, colours, read_barcode
from tests.reference_decode import reference_decode


@pytest.fixture(scope="module")
def cage() -> Iterator[Cage]:
    with Cage() as cage:
        yield cage


def checksums(frames: list[Frame]) -> list[int]:
    return [zlib.crc32(np.ascontiguousarray(frame.image)) for frame in frames]


def test_variable_times_are_told_as_written(cage: Cage, tmp_path: Path) -> None:
    path = barcodes.make("variable_rate.mp4", tmp_path)
    expected = [(3 * number + number * number % 3) / 75 for number in range(90)]
    assert [frame.pts_seconds for frame in cage.frames(path, np.arange(90))] == pytest.approx(expected)


def test_untimed_video_is_counted_and_says_so(cage: Cage, tmp_path: Path) -> None:
    path = barcodes.make("raw.h264", tmp_path)
    cage.probe(path)
    index = cage.index(path)
    assert not index.timed
    assert index.pts.tolist() == list(range(90))
    assert index.seconds[-1] == pytest.approx(89 / 25)
    assert [warning["code"] for warning in cage.warnings] == ["media.untimed"]
    (frame,) = cage.frames(path, np.array([50]))
    assert (frame.pts, frame.pts_seconds) == (50, pytest.approx(2.0))


def test_damage_is_a_warning_and_the_rest_is_shown(cage: Cage, tmp_path: Path) -> None:
    path = barcodes.make_damaged(tmp_path)
    cage.probe(path)
    wanted = np.arange(len(cage.index(path)))
    frames = list(cage.frames(path, wanted))
    assert len(wanted) - 10 < len(frames) < len(wanted)
    reference = reference_decode(path)
    shown = dict(zip(reference.pts, reference.checksums, strict=True))
    assert checksums(frames) == [shown[frame.pts] for frame in frames]
    assert {warning["code"] for warning in cage.warnings} == {"media.damaged"}
    assert any("Left out" in warning["message"] for warning in cage.warnings)


def test_damaged_video_gives_the_same_pictures_every_time(cage: Cage, tmp_path: Path) -> None:
    path = barcodes.make_damaged(tmp_path)
    wanted = np.arange(len(cage.index(path)))
    runs = {tuple(checksums(list(cage.frames(path, wanted)))) for _ in range(5)}
    assert len(runs) == 1


def test_a_rotated_phone_clip_is_upright_before_it_is_shrunk(cage: Cage, tmp_path: Path) -> None:
    path = Clip("phone.mov", rotation=-90, width=320, height=160, frames=3).write(tmp_path)
    info = cage.probe(path)
    assert (info.width, info.height, info.rotation) == (160, 320, 90)
    (frame,) = cage.frames(path, np.array([2]), width=80)
    assert frame.image.shape == (160, 80, 3)
    assert frame.scale == 0.5
    assert read_barcode(np.rot90(frame.image)) == 2


@pytest.mark.parametrize(
    ("width", "shape"), [(None, (96, 160, 3)), (160, (96, 160, 3)), (4096, (96, 160, 3)), (40, (24, 40, 3)),
                         (33, (20, 33, 3)), (16, (10, 16, 3))],
)  # fmt: skip
def test_width_shrinks_and_never_enlarges(cage: Cage, tmp_path: Path, width: int | None, shape: tuple) -> None:
    path = barcodes.make("one_frame.mp4", tmp_path)
    (frame,) = cage.frames(path, np.array([0]), width=width)
    assert frame.image.shape == shape
    assert frame.scale == shape[1] / WIDTH
    assert frame.image.dtype == np.uint8


def test_a_thin_picture_keeps_at_least_one_row(cage: Cage, tmp_path: Path) -> None:
    path = Clip("thin.mkv", codec="ffv1", width=2000, height=2, frames=1).write(tmp_path)
    (frame,) = cage.frames(path, np.array([0]), width=16)
    assert frame.image.shape == (1, 16, 3)


@pytest.mark.parametrize("matrix", [1, 5, 9], ids=["BT.709", "BT.601", "BT.2020"])
@pytest.mark.parametrize("spread", [1, 2], ids=["limited", "full"])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "yuv420p10le"])
def test_colour_matrix_and_range_are_followed(
    cage: Cage, tmp_path: Path, matrix: int, spread: int, pixel_format: str
) -> None:
    clip = Clip(
        "colour.mp4", frames=1, picture=colours, colorspace=matrix, color_range=spread, pixel_format=pixel_format,
        options={"preset": "veryfast", "crf": "4"},
    )  # fmt: skip
    (frame,) = cage.frames(clip.write(tmp_path), np.array([0]))
    for row in (HEIGHT // 4, 3 * HEIGHT // 4):
        for column in (WIDTH // 4, 3 * WIDTH // 4):
            expected = colours(0, WIDTH, HEIGHT)[row, column].astype(int)
            assert np.abs(frame.image[row, column].astype(int) - expected).max() <= 6


def test_pictures_that_change_size_amid_the_film_keep_the_first_size(cage: Cage, tmp_path: Path) -> None:
    small = Clip("small.ts", frames=25, options={"preset": "veryfast", "g": "25"}).write(tmp_path)
    wide = Clip(
        "wide.ts", frames=50, width=320, height=192, options={"preset": "veryfast", "g": "25"},
        times=lambda number: number + 25,
    ).write(tmp_path)  # fmt: skip
    path = tmp_path / "changes.ts"
    path.write_bytes(small.read_bytes() + wide.read_bytes())
    frames = list(cage.frames(path, np.arange(len(cage.index(path)))))
    assert {frame.image.shape for frame in frames} == {(HEIGHT, WIDTH, 3)}
    assert [read_barcode(frame.image) for frame in frames] == [*range(25), *range(50)]


def test_shrinking_averages_instead_of_dropping_pixels(cage: Cage, tmp_path: Path) -> None:
    def stripes(number: int, width: int, height: int) -> Picture:
        picture = np.zeros((height, width, 3), np.uint8)
        picture[:, ::2] = 255
        return picture

    path = Clip("stripes.mkv", codec="ffv1", picture=stripes, frames=1, pixel_format="yuv444p").write(tmp_path)
    (frame,) = cage.frames(path, np.array([0]), width=40)
    assert np.abs(frame.image.astype(int) - 127).max() <= 4


def test_barcodes_can_be_read_back() -> None:
    assert [read_barcode(barcode(number)) for number in (0, 1, 255, 40_000, 65_535)] == [0, 1, 255, 40_000, 65_535]
