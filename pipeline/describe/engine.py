"""The networks that find and read text: PP-OCRv4 as RapidOCR packs it, inside its wheel, so no download is needed."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.device import own_error
from pipeline.errors import ModelUnavailable

PACKAGE = "rapidocr_onnxruntime"
Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Reading:
    """What one crop says. columns: where each character stands along the crop, as shares of its width, rising."""

    text: str
    score: float
    columns: tuple[float, ...]


class Engine:
    """Finds lines of text in a picture, and reads crops of them; safe for several threads, one call at a time.

    threads: of one network call.
    """

    def __init__(self, threads: int) -> None:
        try:
            from rapidocr_onnxruntime import RapidOCR  # noqa: PLC0415 - web and other pipelines load none of it
        except ImportError as error:
            raise ModelUnavailable(
                f"text cannot be read here: {error}", advice="Install deploy/requirements/no-deps.txt with --no-deps."
            ) from error
        self._lock = threading.Lock()
        # The picture comes at the size at which it is to be searched: nothing is resized here but to multiples of 32.
        self._rapid = RapidOCR(intra_op_num_threads=threads, inter_op_num_threads=1, det_limit_side_len=32)

    def find(self, picture: Picture) -> list[NDArray[np.float64]]:
        """Return the corners of each line found, float64, (4, 2), clockwise from the upper left.

        picture: uint8, (h, w, 3), BGR, both sides at least 32. Raises: DeviceOutOfMemory, ModelError.
        """
        with self._lock, _told("finding text failed"):
            quads, _ = self._rapid.text_det(picture)
        return [] if quads is None else [np.asarray(quad, dtype=np.float64) for quad in quads]

    def upside_down(self, crops: Sequence[Picture]) -> list[float]:
        """Return for each crop (uint8, (h, w, 3), BGR) how sure it is that its text stands on its head, 0 to 1.

        Raises: DeviceOutOfMemory, ModelError.
        """
        if not crops:
            return []
        with self._lock, _told("telling a line's direction failed"):
            _, told, _ = self._rapid.text_cls([crop.copy() for crop in crops])
        return [float(score) if label == "180" else 1.0 - float(score) for label, score in told]

    def read(self, crops: Sequence[Picture]) -> list[Reading]:
        """Return what each crop (uint8, (h, w, 3), BGR, upright) says. Raises: DeviceOutOfMemory, ModelError."""
        if not crops:
            return []
        with self._lock, _told("reading text failed"):
            # word boxes are asked for since they come with each character's column
            found, _ = self._rapid.text_rec(list(crops), return_word_box=True)
        return [_reading(*one) for one in found]


class _told:  # noqa: N801 - reads as a word of the with statement
    """Turn what the runtime raises into the errors of this package."""

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception):
            raise own_error(error, self._doing) from error


def _reading(text: str, score: float, places: Sequence[Any]) -> Reading:
    """Take columns from the network's steps: the crop fills only ``places[0]`` of them, the rest is padding."""
    steps = max(float(places[0]), 1.0)
    columns = tuple(min((column + 0.5) / steps, 1.0) for word in places[2] for column in word)
    return Reading(text, float(score), columns)


_engines: dict[int, Engine] = {}
_engines_lock = threading.Lock()


def open_engine(threads: int) -> Engine:
    """Return this process's engine, loaded once and warmed up. Raises: ModelUnavailable, ModelError."""
    with _engines_lock:
        if threads not in _engines:
            engine = Engine(threads)
            blank = np.full((64, 320, 3), 255, dtype=np.uint8)
            engine.find(blank)
            engine.read([blank])
            _engines[threads] = engine
        return _engines[threads]


@cache
def engine_facts() -> tuple[Mapping[str, Any], ...]:
    """Return name, version, digest (SHA-256) and licence of each network in the wheel; empty where it is absent."""
    spec = util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return ()
    version = metadata.version(PACKAGE)
    return tuple(
        {
            "name": path.stem,
            "version": version,
            "digest": hashlib.sha256(path.read_bytes()).hexdigest(),
            "licence": "Apache-2.0",
            "bundled_with": f"rapidocr-onnxruntime {version}",
        }
        for path in sorted((Path(spec.origin).parent / "models").glob("*.onnx"))
    )
