"""A film of which only parts are on the disk gives the frames that the whole film gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.cage import Cage
from pipeline.errors import CageError, PipelineError
from pipeline.media import Parts
from tests.holes import Hole
from tests.media import Clip, noisy

FRAMES = 700


@pytest.fixture(scope="module")
def cage() -> Iterator[Cage]:
    with Cage() as opened:
        yield opened


@pytest.fixture(scope="module", params=["film.mp4", "film.mkv", "front.mp4"])
def film(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = {"preset": "ultrafast", "g": "20", "qp": "12"}
    front = {"movflags": "faststart"} if request.param == "front.mp4" else {}
    clip = Clip(request.param, FRAMES, width=96, height=96, options=options, picture=noisy, container_options=front)
    return clip.write(tmp_path_factory.mktemp("film"))


def test_a_segment_costs_its_own_bytes_and_gives_the_same_frames(cage: Cage, film: Path, tmp_path: Path) -> None:
    hole = Hole(film, tmp_path)
    parts = Parts(cage.packets(film), hole.fill)
    index = cage.index(hole.path, parts=parts)
    assert np.array_equal(index.pts, cage.index(film).pts)
    assert hole.asked_bytes <= 1 << 20, "what is known of the packets need not be read again"
    wanted = np.arange(560, 600, 3)
    found = list(cage.frames(hole.path, wanted, parts=parts))
    for one, other in zip(cage.frames(film, wanted), found, strict=True):
        assert (one.index, one.pts) == (other.index, other.pts)
        assert np.array_equal(one.image, other.image)
    assert hole.asked_bytes < 0.6 * film.stat().st_size, hole.asked


def test_frames_far_apart_cost_their_own_groups_bytes(cage: Cage, film: Path, tmp_path: Path) -> None:
    hole, wanted = Hole(film, tmp_path), np.array([0, 345, 690])
    parts = Parts(cage.packets(film), hole.fill)
    found = [(frame.index, frame.image.tobytes()) for frame in cage.frames(hole.path, wanted, parts=parts)]
    assert found == [(frame.index, frame.image.tobytes()) for frame in cage.frames(film, wanted)]
    assert hole.asked_bytes <= 0.7 * film.stat().st_size, hole.asked


def test_what_cannot_be_had_ends_the_answer_and_the_next_request_works(cage: Cage, film: Path, tmp_path: Path) -> None:
    hole = Hole(film, tmp_path)
    known = cage.packets(film)

    def fill(start: int, stop: int) -> None:
        if hole.asked_bytes >= 2 << 20:
            raise InterruptedError
        hole.fill(start, stop)

    with pytest.raises(InterruptedError):
        list(cage.frames(hole.path, np.arange(FRAMES), parts=Parts(known, fill)))
    child = cage.pid
    assert len(list(cage.frames(film, np.arange(0, FRAMES, 100)))) == 7
    assert cage.pid == child, "nobody had to be killed for it"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return Clip("clip.mp4", 10).write(tmp_path)


def test_a_child_that_asks_for_bytes_of_a_whole_input_is_ended(cage: Cage, clip: Path) -> None:
    with pytest.raises(CageError), cage._request(clip, {"op": "packets"}, b"", None) as process:
        process._have({"type": "need", "start": 0, "stop": 10})


@pytest.mark.parametrize("place", [(-1, 10), (10, 10), (0, 1 << 60), ("a", 5), (None, None)])
def test_a_child_that_asks_for_bytes_outside_the_input_is_ended(
    cage: Cage, clip: Path, tmp_path: Path, place: tuple[object, object]
) -> None:
    parts = Parts(cage.packets(clip), Hole(clip, tmp_path).fill)
    with pytest.raises(CageError), cage._request(clip, {"op": "index"}, b"", parts) as process:
        process._have({"type": "need", "start": place[0], "stop": place[1]})


def test_bytes_that_are_no_index_are_an_error_of_the_request(cage: Cage, clip: Path, tmp_path: Path) -> None:
    with pytest.raises(PipelineError):
        cage.index(clip, parts=Parts(b"no index at all", Hole(clip, tmp_path).fill))


def test_an_image_has_no_packets(cage: Cage, tmp_path: Path) -> None:
    path = tmp_path / "still.png"
    Image.new("RGB", (8, 8)).save(path)
    assert cage.packets(path) == b""
