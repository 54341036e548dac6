"""A film of which only parts are on the disk is read as if it were whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from pipeline.ranged_file import BLOCK_BYTES, RangedFile
from tests.holes import Hole
from tests.media import Clip, noisy

BIG = 5 * BLOCK_BYTES + 77


@pytest.fixture
def noise(tmp_path: Path) -> Iterator[tuple[bytes, Hole, RangedFile]]:
    data = os.urandom(BIG)
    whole = tmp_path / "whole"
    whole.write_bytes(data)
    hole = Hole(whole, tmp_path)
    descriptor = os.open(hole.path, os.O_RDONLY)
    yield data, hole, RangedFile(descriptor, hole.fill)
    os.close(descriptor)


def test_bytes_are_asked_for_before_they_are_read_and_only_once(noise: tuple[bytes, Hole, RangedFile]) -> None:
    data, hole, file = noise
    for place in (3 * BLOCK_BYTES - 10, 5, BIG - 20):
        assert file.seek(place) == place
        assert file.read(20) == data[place : place + 20]
    assert hole.asked == [(2 * BLOCK_BYTES, 4 * BLOCK_BYTES), (0, BLOCK_BYTES), (5 * BLOCK_BYTES, BIG)]
    file.seek(0)
    assert file.read() == data
    assert file.read(1) == b""


def test_seeking_counts_as_in_any_file(noise: tuple[bytes, Hole, RangedFile]) -> None:
    _, hole, file = noise
    assert (file.seek(-7, os.SEEK_END), file.seek(2, os.SEEK_CUR), file.tell()) == (BIG - 7, BIG - 5, BIG - 5)
    with pytest.raises(OSError, match="before the start"):
        file.seek(-1)
    assert hole.asked == [], "to look at the size costs nothing"


def test_what_is_left_out_is_neither_read_nor_asked_for(noise: tuple[bytes, Hole, RangedFile]) -> None:
    data, hole, file = noise
    file.leave_out(100, 4 * BLOCK_BYTES + 5)
    short = data[:100] + data[4 * BLOCK_BYTES + 5 :]
    assert file.read(60) == data[:60]
    assert file.read(60) == data[60:100], "a read ends where the file goes on elsewhere"
    assert file.read() == short[100:]
    assert (file.seek(0, os.SEEK_END), file.seek(90), file.read()) == (len(short), 90, short[90:])
    assert hole.asked == [(0, BLOCK_BYTES), (4 * BLOCK_BYTES, BIG)]
    assert file.whole().read() == data


@pytest.mark.parametrize("step", [1, 3, 16, 40])
def test_what_is_laid_over_is_read_however_reads_fall(noise: tuple[bytes, Hole, RangedFile], step: int) -> None:
    data, _, file = noise
    file.lay_over(21, b"sixteen bytes ..")
    assert b"".join(iter(lambda: file.read(step) if file.tell() < 80 else b"", b""))[:80] == (
        data[:21] + b"sixteen bytes .." + data[37:80]
    )
    assert file.whole().read(80) == data[:80]


def test_who_cannot_give_the_bytes_is_heard(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.write_bytes(b"x" * 10)

    def refuse(start: int, stop: int) -> None:
        raise InterruptedError(f"{start} to {stop}")

    descriptor = os.open(whole, os.O_RDONLY)
    try:
        with pytest.raises(InterruptedError, match="0 to 10"):
            RangedFile(descriptor, refuse).read(4)
    finally:
        os.close(descriptor)


def test_a_place_in_a_long_film_costs_its_own_bytes_and_the_index(tmp_path: Path) -> None:
    options = {"preset": "ultrafast", "g": "10", "qp": "2"}
    film = Clip("film.mp4", frames=60, width=320, height=240, options=options, picture=noisy).write(tmp_path)
    size = film.stat().st_size
    assert size > 6 * BLOCK_BYTES
    hole = Hole(film, tmp_path)
    descriptor = os.open(hole.path, os.O_RDONLY)
    with av.open(RangedFile(descriptor, hole.fill)) as container:
        stream = container.streams.video[0]
        assert stream.duration is not None
        container.seek(stream.duration // 2, stream=stream)
        with av.open(str(film)) as reference:
            reference.seek(stream.duration // 2, stream=reference.streams.video[0])
            expected = next(reference.decode(video=0)).to_ndarray()
        assert (next(container.decode(stream)).to_ndarray() == expected).all()
    os.close(descriptor)
    assert hole.asked_bytes < size / 2
