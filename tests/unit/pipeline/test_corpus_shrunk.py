"""A small picture shows what the full-size one shows, upright and in the same colours, whatever else was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.cage import Cage
from tests import barcodes
from tests.media import Clip, colours, read_barcode

#: where rounding, siting of colour samples or the kind of averaging may differ; blocks are black or white
MEAN_DIFFERENCE = 6.0
#: each kind of samples, turn and size; whose packets are special is left to test_corpus
NAMES = [
    "gop12.mp4",
    "hevc_open.mp4",
    "vp9.webm",
    "av1.mkv",
    "mpeg4_b.avi",
    "turned_90.mp4",
    "turned_180.mp4",
    "turned_270.mp4",
    "odd_size.mp4",
    "cropped.mp4",
    "ten_bit.mp4",
    "ten_bit_hevc.mp4",
    "full_range.mp4",
    "interlaced.mp4",
    "interlaced.mpg",
    "prores.mov",
    "ffv1.mkv",
    "vp9_alpha.webm",
    "raw.mjpeg",
    "mjpeg.mov",
    "svq1.mov",
    "cinepak.mov",
    "qtrle.mov",
    "png.mov",
    "jpeg2000.mov",
    "dnxhr.mxf",
    "dv.avi",
    "cineform.mov",
    "huffyuv.avi",
    "utvideo.avi",
    "magicyuv.avi",
    "v210.mov",
    "gray.mkv",
    "bare.y4m",
    "bare.avi",
    "grows.ts",
]


@pytest.fixture(scope="module")
def cage() -> Iterator[Cage]:
    with Cage() as cage:
        yield cage


def averaged(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.float64]:
    """Return the mean of the area that each pixel covers."""
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX), np.float64)


@pytest.mark.parametrize("name", NAMES)
def test_a_small_picture_is_the_full_one_made_small(cage: Cage, tmp_path: Path, name: str) -> None:
    path = barcodes.make(name, tmp_path)
    wanted = np.arange(0, len(cage.index(path)), 13)
    full = list(cage.frames(path, wanted))
    for width in (100, 48, 24):
        small = list(cage.frames(path, wanted, width=width))
        assert [frame.index for frame in small] == wanted.tolist()
        for frame, large in zip(small, full, strict=True):
            height = frame.image.shape[0]
            assert frame.image.shape[1] == min(width, large.image.shape[1])
            assert abs(height - large.image.shape[0] * frame.scale) <= 1
            upright = np.rot90(frame.image, barcodes.TURNS.get(name, 0))
            assert read_barcode(upright) == barcodes.numbers(name)[frame.index]
            difference = np.abs(averaged(large.image, frame.image.shape[1], height) - frame.image)
            assert difference.mean() <= MEAN_DIFFERENCE, f"place {frame.index}, {width} wide"


@pytest.mark.parametrize(
    "name", ["gop250.mp4", "pyramid.mp4", "hevc_open.mp4", "hevc_layers.mp4", "av1.mkv", "open_gop.ts"]
)
def test_a_small_picture_does_not_depend_on_what_else_was_asked_for(cage: Cage, tmp_path: Path, name: str) -> None:
    path = barcodes.make(name, tmp_path)
    count, random = len(cage.index(path)), np.random.default_rng(11)
    everything = [frame.image for frame in cage.frames(path, np.arange(count), width=64)]
    for share in (0.02, 0.1, 0.3, 0.8):
        for frame in cage.frames(path, np.flatnonzero(random.random(count) < share), width=64):
            assert np.array_equal(frame.image, everything[frame.index])


@pytest.mark.parametrize("matrix", [1, 5, 9], ids=["BT.709", "BT.601", "BT.2020"])
@pytest.mark.parametrize("spread", [1, 2], ids=["limited", "full"])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
def test_a_small_picture_keeps_colour_matrix_and_range(
    cage: Cage, tmp_path: Path, matrix: int, spread: int, pixel_format: str
) -> None:
    clip = Clip(
        "colour.mp4", frames=1, picture=colours, colorspace=matrix, color_range=spread, pixel_format=pixel_format,
        width=320, height=192, options={"preset": "veryfast", "crf": "4"},
    )  # fmt: skip
    path = clip.write(tmp_path)
    for width in (200, 64, 33):
        (frame,) = cage.frames(path, np.array([0]), width=width)
        height = frame.image.shape[0]
        for row, column in ((1, 1), (1, 3), (3, 1), (3, 3)):
            seen = frame.image[row * height // 4, column * width // 4].astype(int)
            expected = colours(0, width, height)[row * height // 4, column * width // 4].astype(int)
            assert np.abs(seen - expected).max() <= 6
