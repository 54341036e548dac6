"""One input tried in a cage: probe, index, a few frames; what came of it, and how long it took."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.cage import Cage
from pipeline.errors import PipelineError
from pipeline.media import MediaLimits

#: silence after which the cage gives up; the product's own is longer, which would only make this slower
ANSWER_SECONDS = 10.0
#: an hour of video at most: what claims to be longer is refused, as in production at six
LIMITS = MediaLimits(max_duration_seconds=3600)
#: more than any sound input of this size needs, with a busy machine in mind
BOUND_SECONDS = 3 * ANSWER_SECONDS + 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """``shown``, ``shown with damage``, or the code of the error; what was said; how many frames came."""

    code: str
    said: str
    frames: int
    seconds: float
    #: (height, width, 3), the mean colour of each frame is enough to recognise a canary
    colours: tuple[tuple[int, ...], ...] = ()


def new_cage() -> Cage:
    """Return a cage as the trials want it."""
    return Cage(LIMITS, answer_seconds=ANSWER_SECONDS)


def attempt(cage: Cage, path: Path, salt: int = 0) -> Outcome:
    """Do what a job would do with this input.

    salt: which frames, and how wide. Raises nothing that the pipeline promises: every PipelineError is an outcome.
    """
    began, colours = time.monotonic(), []
    try:
        cage.probe(path)
        wanted = _wanted(len(cage.index(path)), salt)
        for frame in cage.frames(path, wanted, width=(None, 64, 640)[salt % 3]):
            colours.append(tuple(int(value) for value in frame.image.reshape(-1, 3).mean(axis=0)))
    except PipelineError as error:
        said = f"{error.message} {error.advice or ''}"
        return Outcome(error.code, said, len(colours), time.monotonic() - began, tuple(colours))
    said = " ".join(warning["message"] for warning in cage.warnings)
    damaged = "media.damaged" in {warning["code"] for warning in cage.warnings}
    code = "shown with damage" if damaged else "shown"
    return Outcome(code, said, len(colours), time.monotonic() - began, tuple(colours))


def _wanted(count: int, salt: int) -> NDArray[np.int64]:
    """Return up to five places: the first, the last, and some between."""
    places = {0, count - 1, count // 2, salt * 7 % max(1, count), salt * 31 % max(1, count)}
    return np.array(sorted(place for place in places if 0 <= place < count), np.int64)
