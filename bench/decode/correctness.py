"""Whether each place of each film of the barcode set gives its own picture, against a full decode of another making.

``python -m bench.decode correctness``; the films are those of the tests, which ask for many more choices of frames.
"""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.decode.figures import Figure
from bench.decode.streams import Streams
from pipeline.cage import Cage
from pipeline.errors import PipelineError
from tests import barcodes
from tests.media import read_barcode
from tests.reference_decode import reference_decode

_SEED = 4


def measure(streams: Streams, repetitions: int) -> list[Figure]:
    """Return the share of films in which every asked frame is right; no timing, so nothing is repeated."""
    wrong: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder, Cage() as cage:
        for name in barcodes.NAMES:
            fault = fault_of(cage, barcodes.make(name, _made(Path(folder) / name)))
            if fault is not None:
                wrong[name] = fault
                print(f"wrong: {name}: {fault}", flush=True)
    count = len(barcodes.NAMES)
    share = (count - len(wrong)) / count
    return [Figure(f"right frames on the barcode set ({count} films)", share, 1.0, higher_is_better=True, unit="of 1")]


def fault_of(cage: Cage, path: Path) -> str | None:
    """Return what is wrong with the frames of a film, None where every choice gives the full decode's pictures."""
    reference, burned = reference_decode(path), barcodes.numbers(path.name)
    try:
        index = cage.index(path)
        if len(index) != len(reference.pts):
            return f"{len(index)} frames in the index, {len(reference.pts)} shown"
        if index.timed and index.pts.tolist() != reference.pts:
            return "other timestamps than a full decode gives"
        for wanted in _choices(len(index)):
            frames = list(cage.frames(path, wanted))
            if [frame.index for frame in frames] != wanted.tolist():
                return f"{len(frames)} of {len(wanted)} frames came"
            for frame in frames:
                same_size = list(frame.image.shape[:2]) == reference.sizes[frame.index]
                checksum = zlib.crc32(np.ascontiguousarray(frame.image))
                if same_size and checksum != reference.checksums[frame.index]:
                    return f"another picture at place {frame.index}"
                if read_barcode(np.rot90(frame.image, barcodes.TURNS.get(path.name, 0))) != burned[frame.index]:
                    return f"another number at place {frame.index}"
    except PipelineError as error:
        return f"{error.code}: {error.message}"
    return None


def _choices(count: int) -> list[NDArray[np.int64]]:
    """Return every frame, the strides at which others were found wrong, random ranges and random subsets."""
    random = np.random.default_rng(_SEED)
    chosen = [np.arange(0, count, stride) for stride in (1, 7, 10, 30)]
    for _ in range(6):
        first = int(random.integers(0, count))
        chosen.append(np.arange(first, count, int(random.integers(1, 40))))
        chosen.append(np.flatnonzero(random.random(count) < random.uniform(0.02, 0.9)))
    return [places.astype(np.int64) for places in chosen if len(places)]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
