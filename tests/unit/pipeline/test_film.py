"""Films are decoded again: what browsers need is there, and every picture stands when it should."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.film import MIN_SIDE, Film
from tests.media import barcode, colours, read_barcode


def written(path: Path, times, *, size=(96, 160), end=None, rate=25.0):
    with Film(path, frame_rate=rate) as film:
        for number, seconds in enumerate(times):
            film.add(barcode(number, size[1], size[0]), seconds)
        film.close(end)
    return path


def decoded(path: Path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [(float(frame.time), frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)]
        return stream.codec_context, frames, float(stream.duration * stream.time_base)


def boxes(data: bytes) -> list[bytes]:
    """Names of the outermost boxes of an MP4 file, in order."""
    found, at = [], 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append(data[at + 4 : at + 8])
        at += size if size > 1 else int.from_bytes(data[at + 8 : at + 16], "big")
    return found


def test_a_film_is_h264_in_the_one_pixel_format_that_all_browsers_play_with_its_index_first(tmp_path):
    path = written(tmp_path / "film.mp4", [0.0, 0.04, 0.08])
    context, frames, _ = decoded(path)
    assert (context.name, context.pix_fmt, len(frames)) == ("h264", "yuv420p", 3)
    order = boxes(path.read_bytes())
    assert order.index(b"moov") < order.index(b"mdat")


def test_each_picture_stands_at_its_time_however_uneven(tmp_path):
    times = [10.0, 10.2, 10.233333, 13.0, 13.04]
    _, frames, length = decoded(written(tmp_path / "film.mp4", times, end=14.0))
    assert [read_barcode(picture) for _, picture in frames] == [0, 1, 2, 3, 4]
    assert [time for time, _ in frames] == pytest.approx([0.0, 0.2, 0.233333, 3.0, 3.04], abs=2e-5)
    assert length == pytest.approx(4.0, abs=2e-5)


def test_the_last_picture_stands_as_long_as_the_one_before_where_nobody_says(tmp_path):
    assert decoded(written(tmp_path / "film.mp4", [0.0, 0.5]))[2] == pytest.approx(1.0, abs=2e-5)
    assert decoded(written(tmp_path / "one.mp4", [7.0]))[2] == pytest.approx(1.0, abs=2e-5)


def test_times_that_do_not_rise_come_a_tick_later_and_lose_no_picture(tmp_path):
    _, frames, _ = decoded(written(tmp_path / "film.mp4", [0.0, 1.0, 1.0, 0.5]))
    assert [read_barcode(picture) for _, picture in frames] == [0, 1, 2, 3]


@pytest.mark.parametrize("size", [(97, 161), (1, 1), (3, 400), (400, 3), (96, 161)])
def test_odd_and_tiny_pictures_become_even_without_being_stretched(tmp_path, size):
    with Film(tmp_path / "film.mp4") as film:
        film.add(np.full((*size, 3), 200, np.uint8), 0.0)
    _, ((_, picture),), _ = decoded(tmp_path / "film.mp4")
    height, width = picture.shape[:2]
    assert (height % 2, width % 2) == (0, 0)
    assert (height, width) == tuple(max(MIN_SIDE, side + side % 2) for side in size)
    assert abs(picture.astype(int) - 200).max() <= 3


def test_colours_come_back_as_they_were_by_the_files_own_word(tmp_path):
    with Film(tmp_path / "film.mp4") as film:
        film.add(colours(0, 160, 96), 0.0)
    context, ((_, picture),), _ = decoded(tmp_path / "film.mp4")
    assert (context.colorspace, context.color_range) == (1, 1)
    for y, x in ((24, 40), (24, 120), (72, 40), (72, 120)):
        assert abs(picture[y, x].astype(int) - colours(0, 160, 96)[y, x]).max() <= 6


def test_a_picture_of_another_size_is_brought_to_the_films(tmp_path):
    with Film(tmp_path / "film.mp4") as film:
        film.add(barcode(1), 0.0)
        film.add(barcode(2, 320, 192), 1.0)
    _, frames, _ = decoded(tmp_path / "film.mp4")
    assert [read_barcode(picture) for _, picture in frames] == [1, 2]
    assert frames[1][1].shape == frames[0][1].shape


def test_equal_pictures_give_equal_bytes(tmp_path):
    one = written(tmp_path / "one.mp4", [0.0, 0.4, 0.8]).read_bytes()
    assert written(tmp_path / "two.mp4", [0.0, 0.4, 0.8]).read_bytes() == one


def test_a_film_without_pictures_leaves_nothing_that_looks_whole(tmp_path):
    with Film(tmp_path / "film.mp4") as film:
        assert film.size_bytes == 0
    assert film.count == 0
