"""A small ring of the cage outlives its answer, and no picture of one answer ever turns up in another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.cage import Cage
from tests.media import Clip, read_barcode


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Clip("clip.mp4", frames=60, options={"preset": "veryfast", "g": "12"}).write(tmp_path_factory.mktemp("ring"))


def rings() -> set[str]:
    """Which rings this process has mapped: the numbers of their memory."""
    return {line.split()[4] for line in Path("/proc/self/maps").read_text().splitlines() if "memfd:cage-frames" in line}


def test_a_small_ring_stays_for_the_next_answer_and_goes_with_one_that_is_stopped(clip: Path) -> None:
    with Cage() as cage:
        assert len(list(cage.frames(clip, np.arange(13)))) == 13
        (first,) = rings()
        assert [frame.index for frame in cage.frames(clip, np.arange(30))] == list(range(30))
        assert rings() == {first}
        stopped = cage.frames(clip, np.arange(60))
        next(stopped)
        stopped.close()
        assert rings() == set()
        assert [read_barcode(frame.image) for frame in cage.frames(clip, np.arange(20))] == list(range(20))
        cage.kill()
        assert len(list(cage.frames(clip, np.arange(3)))) == 3
    assert rings() == set()


def test_a_large_ring_goes_with_its_answer(tmp_path: Path) -> None:
    Image.new("RGB", (1000, 360)).save(tmp_path / "large.png")
    with Cage() as cage:
        frames = cage.frames(tmp_path / "large.png", np.array([0]))
        next(frames)
        assert len(rings()) == 1
        assert list(frames) == []
        assert rings() == set()


def test_answers_taken_whole_or_in_part_in_any_order_keep_their_pictures_apart(clip: Path) -> None:
    draw = np.random.default_rng(4)
    with Cage() as cage:
        pid = cage.pid
        for _ in range(40):
            start, stop = sorted(draw.choice(61, 2, replace=False))
            taken = int(draw.integers(1, stop - start + 1))
            frames = cage.frames(clip, np.arange(start, stop), width=int(draw.choice([160, 128, 96])))
            seen = [read_barcode(next(frames).image) for _ in range(taken)]
            assert seen == list(range(start, start + taken))
            if draw.random() < 0.5:
                seen += [read_barcode(frame.image) for frame in frames]
                assert seen == list(range(start, stop))
            frames.close()  # where all were taken: crosses with the end of the answer
        assert cage.pid == pid
