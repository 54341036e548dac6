"""Cells are luma on a coarse grid, whatever the pixel format, and read without touching the rest of the picture."""

from __future__ import annotations

import av
import numpy as np
import pytest

from pipeline.luma import LumaReader, cells_of_rgb, on_grid


def ramp(height: int, width: int) -> np.ndarray:
    """A grey picture that brightens to the right and darkens downwards."""
    y, x = np.mgrid[0:height, 0:width]
    return (16 + 200 * x / width + 19 * (1 - y / height)).astype(np.uint8)


@pytest.mark.parametrize(
    "form",
    ["gray", "yuv420p", "yuvj420p", "yuv444p", "nv12", "yuv420p10le", "yuv422p12le", "p010le", "yuyv422", "rgb24"],
)
def test_cells_are_the_luma_of_every_pixel_format(form: str) -> None:
    picture = ramp(360, 640)
    grey = av.VideoFrame.from_ndarray(picture, format="gray")
    frame = grey if form == "gray" else grey.reformat(format=form)
    found = LumaReader().cells(frame)
    reference = on_grid(frame.reformat(format="gray").to_ndarray() if form != "gray" else picture)
    if form in ("yuv420p", "yuv444p", "nv12"):  # stored in limited range, read as stored
        reference = on_grid(frame.reformat(format="yuv420p").to_ndarray()[:360])
    assert found.shape == (72, 128)
    assert found.dtype == np.uint8
    limited = np.abs(found.astype(int) - (16 + reference.astype(float) * 219 / 255))
    assert min(np.abs(found.astype(int) - reference).max(), limited.max()) <= 3


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (36, 64), (480, 848), (1080, 1920), (4, 4000)])
def test_any_size_gives_some_cells_and_never_very_many(height: int, width: int) -> None:
    found = LumaReader().cells(av.VideoFrame.from_ndarray(ramp(height, width), format="gray"))
    assert found.size >= 1
    assert found.shape[1] <= 191


def test_the_cells_of_an_rgb_picture_follow_its_brightness() -> None:
    picture = np.repeat(ramp(90, 160)[..., None], 3, axis=2)
    assert np.array_equal(cells_of_rgb(picture), on_grid(ramp(90, 160)))


@pytest.mark.parametrize("form", ["gray", "yuv420p10le", "rgb24"])
def test_cells_outlive_their_frame_and_lie_in_one_piece(form: str) -> None:
    frame = av.VideoFrame.from_ndarray(ramp(360, 640), format="gray").reformat(format=form)
    found = LumaReader().cells(frame)
    before = found.copy()
    frame.planes[0].update(bytes(frame.planes[0].buffer_size))
    assert np.array_equal(found, before)
    assert found.flags.c_contiguous
