"""Whatever the container and codec, a wanted place gives the picture that a full decode shows there.

``CORPUS_EXAMPLES=5000 CORPUS_SEED=7`` makes the random choices many more, and others.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from pipeline.cage import Cage
from pipeline.frame import Frame
from tests import barcodes
from tests.media import read_barcode
from tests.reference_decode import Reference, reference_decode

Film = tuple[Path, Reference]
EXAMPLES = int(os.environ.get("CORPUS_EXAMPLES", "250"))
SEED = int(os.environ.get("CORPUS_SEED", "1"))
#: what a full decode complains of too
DAMAGED = {"cut.mkv"}


@pytest.fixture(scope="module")
def cage() -> Iterator[Cage]:
    with Cage() as cage:
        yield cage


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Film]:
    made: dict[str, Film] = {}

    def film(name: str) -> Film:
        if name not in made:
            path = barcodes.make(name, tmp_path_factory.mktemp("film"))
            made[name] = path, reference_decode(path)
        return made[name]

    return film


def assert_shown(frames: list[Frame], film: Film) -> None:
    """Each frame is the reference's picture of its place; one of another size than the first shows the same number."""
    path, reference = film
    burned = barcodes.numbers(path.name)
    for frame in frames:
        if list(frame.image.shape[:2]) == reference.sizes[frame.index]:
            checksum = zlib.crc32(np.ascontiguousarray(frame.image))
            assert checksum == reference.checksums[frame.index], f"another picture at place {frame.index}"
        upright = np.rot90(frame.image, barcodes.TURNS.get(path.name, 0))
        assert read_barcode(upright) == burned[frame.index]


def choices(count: int) -> dict[str, np.ndarray]:
    """What users ask for: strides from anywhere, single frames, clusters, nearly all, nearly none."""
    random = np.random.default_rng(count)
    chosen = {f"every {step} from {first}": np.arange(first, count, step) for step, first in
              ((2, 1), (5, 0), (7, 3), (13, 12), (30, 0), (45, 44))}  # fmt: skip
    chosen |= {
        f"only {place}": np.array([place]) for place in {0, 1, count // 2, count - 2, count - 1} if 0 <= place < count
    }
    chosen |= {f"{share:.0%}": np.flatnonzero(random.random(count) < share) for share in (0.03, 0.1, 0.4, 0.9)}
    chosen = {said: places for said, places in chosen.items() if len(places)}
    return chosen | {"the end": np.arange(count * 2 // 3, count), "the start": np.arange(count // 4)}


@pytest.mark.parametrize("name", barcodes.NAMES)
def test_all_frames_are_those_of_a_full_decode(cage: Cage, films: Callable[[str], Film], name: str) -> None:
    path, reference = films(name)
    cage.probe(path)
    index = cage.index(path)
    frames = list(cage.frames(path, np.arange(len(index))))
    assert len(index) == len(frames) == len(reference.pts) > 0
    assert_shown(frames, (path, reference))
    if index.timed:
        assert index.pts.tolist() == reference.pts == [frame.pts for frame in frames]
    called_damaged = "media.damaged" in {warning["code"] for warning in cage.warnings}
    assert called_damaged == (name in DAMAGED)


@pytest.mark.parametrize("name", barcodes.NAMES)
def test_any_choice_of_frames_gives_the_same_pictures(cage: Cage, films: Callable[[str], Film], name: str) -> None:
    path, reference = films(name)
    for said, wanted in choices(len(cage.index(path))).items():
        frames = list(cage.frames(path, wanted))
        assert [frame.index for frame in frames] == wanted.tolist(), said
        assert_shown(frames, (path, reference))


@st.composite
def wishes(draw: st.DrawFn) -> tuple[str, int, int, int, int]:
    """A film and a choice in it: from, to, every so many, and which bits of a pattern laid over it are left out."""
    name = draw(st.sampled_from(barcodes.NAMES))
    first, length = draw(st.integers(0, 89)), draw(st.integers(1, 90))
    return name, first, length, draw(st.integers(1, 40)), draw(st.integers(0, 2**16 - 1))


@seed(SEED)
@settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink),
)  # fmt: skip
@given(wishes())
def test_random_ranges_strides_and_holes_give_the_same_pictures(
    cage: Cage, films: Callable[[str], Film], wish: tuple[str, int, int, int, int]
) -> None:
    name, first, length, step, holes = wish
    film = films(name)
    places = np.arange(first, min(first + length, len(film[1].pts)), step)
    wanted = places[(holes >> (np.arange(len(places)) % 16) & 1) == 0]
    frames = list(cage.frames(film[0], wanted))
    assert [frame.index for frame in frames] == wanted.tolist()
    assert_shown(frames, film)
