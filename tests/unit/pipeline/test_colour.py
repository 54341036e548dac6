"""Colours of small pictures, made plane by plane, are those of a full conversion that is shrunk afterwards."""

from __future__ import annotations

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from pipeline.colour import shrinks_by_planes, shrunk_rgb
from pipeline.picture import Turn, resized, to_rgb, upright

WIDTH, HEIGHT = 128, 96
FORMATS = [f"yuv{chroma}p{bits}" for chroma in (420, 422, 444) for bits in ("", "10le", "12le")]
MATRICES = {"BT.709": 1, "unspecified": 2, "FCC": 4, "BT.470BG": 5, "BT.601": 6, "SMPTE 240M": 7, "BT.2020": 9}
#: stated tolerance, in levels of 255, mean and worst. Where chroma has fewer samples, libswscale converts quickly and
#: rounds down, by 1 on average; where it has as many, it shows that the matrix is the same.
CLOSE, SAME = (2.2, 6), (0.6, 3)


def frame_of(
    pixel_format: str, matrix: int = 1, spread: int = 1, size: tuple[int, int] = (WIDTH, HEIGHT)
) -> av.VideoFrame:
    """Return a frame of soft colours that fill the range their format has."""
    width, height = size
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    colours = np.stack([across, down, 0.5 + 0.4 * np.sin(6 * across + 4 * down)], axis=-1)
    picture = av.VideoFrame.from_ndarray((20 + 210 * colours).astype(np.uint8), format="rgb24")
    frame = picture.reformat(format=pixel_format, dst_colorspace=5 if matrix == 2 else matrix, dst_color_range=spread)
    frame.colorspace, frame.color_range = matrix, spread
    return frame


def difference(frame: av.VideoFrame, width: int, height: int) -> tuple[float, float]:
    """Return mean and largest difference to converting first."""
    expected = resized(to_rgb(frame, VideoReformatter()), width, height)
    apart = np.abs(shrunk_rgb(frame, width, height).astype(int) - expected)
    return float(apart.mean()), float(apart.max())


@pytest.mark.parametrize("spread", [1, 2], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
@pytest.mark.parametrize("pixel_format", FORMATS)
def test_shrinking_planes_first_keeps_the_colours(pixel_format: str, matrix: int, spread: int) -> None:
    frame = frame_of(pixel_format, matrix, spread)
    mean_limit, worst_limit = SAME if "444" in pixel_format else CLOSE
    for width, height in ((64, 48), (43, 32), (100, 75)):
        assert shrinks_by_planes(frame, width, height)
        mean, worst = difference(frame, width, height)
        assert mean <= mean_limit
        assert worst <= worst_limit


@pytest.mark.parametrize("full", ["yuvj420p", "yuvj422p", "yuvj444p"])
def test_formats_that_imply_full_range_need_not_say_so(full: str) -> None:
    frame = frame_of(full, spread=2)
    frame.color_range = 0
    assert frame.format.name == full
    assert difference(frame, 64, 48)[1] <= CLOSE[1]


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize(("luma", "grey"), [(16, 0), (235, 255), (126, 128), (0, 0), (255, 255)])
def test_black_white_and_beyond_are_exact(pixel_format: str, luma: int, grey: int) -> None:
    frame = av.VideoFrame(WIDTH, HEIGHT, pixel_format)
    unit = 4 if "10" in pixel_format else 1
    for plane, value in zip(frame.planes, (luma, 128, 128), strict=True):
        samples = np.full(plane.buffer_size // (2 if unit == 4 else 1), value * unit, "<u2" if unit == 4 else "u1")
        plane.update(samples.tobytes())
    frame.colorspace, frame.color_range = 1, 1
    assert np.unique(shrunk_rgb(frame, 64, 48)).tolist() == [grey]


def test_chroma_is_not_shifted_when_it_is_shrunk() -> None:
    frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
    luma, blue, red = (np.full((plane.height, plane.line_size), 128, np.uint8) for plane in frame.planes)
    red[:, 16:] = 200  # an edge in the middle, at column 32 of luma
    for plane, samples in zip(frame.planes, (luma, blue, red), strict=True):
        plane.update(samples.tobytes())
    frame.colorspace, frame.color_range = 1, 1
    for width in (64, 32):
        row = shrunk_rgb(frame, width, HEIGHT * width // WIDTH)[0, :, 0].astype(int)
        assert np.flatnonzero(np.abs(np.diff(row)) > 30).tolist() == [width // 4 - 1]


@pytest.mark.parametrize(
    ("pixel_format", "matrix", "size"),
    [
        ("rgb24", 1, (WIDTH, HEIGHT)), ("gray", 1, (WIDTH, HEIGHT)), ("yuva420p", 1, (WIDTH, HEIGHT)),
        ("nv12", 1, (WIDTH, HEIGHT)), ("yuv420p", 0, (WIDTH, HEIGHT)),
        ("yuv420p", 1, (WIDTH - 1, HEIGHT)), ("yuv420p", 1, (WIDTH, HEIGHT - 1)), ("yuv422p", 1, (WIDTH - 1, HEIGHT)),
    ],
)  # fmt: skip
def test_what_planes_cannot_give_is_converted_first(pixel_format: str, matrix: int, size: tuple[int, int]) -> None:
    frame = frame_of(pixel_format, size=size)
    frame.colorspace = matrix
    reformatter = VideoReformatter()
    assert not shrinks_by_planes(frame, 64, 48)
    expected = resized(to_rgb(frame, reformatter), 64, 48)
    assert np.array_equal(upright(frame, reformatter, (64, 48), Turn()), expected)


def test_a_picture_that_keeps_its_size_is_converted_as_a_player_does() -> None:
    frame = frame_of("yuv420p")
    reformatter = VideoReformatter()
    assert not shrinks_by_planes(frame, WIDTH, HEIGHT)
    assert np.array_equal(upright(frame, reformatter, (WIDTH, HEIGHT), Turn()), to_rgb(frame, reformatter))


def test_a_turned_picture_is_shrunk_to_its_upright_size() -> None:
    frame = frame_of("yuv420p")
    turned = upright(frame, VideoReformatter(), (48, 64), Turn(swap=True, mirror_x=True))
    assert turned.shape == (64, 48, 3)
    assert turned.flags.c_contiguous
    assert np.array_equal(np.rot90(turned), shrunk_rgb(frame, 64, 48))
