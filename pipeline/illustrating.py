"""Pictures that show a result: the input with the marks of its rows on it, and the moments worth keeping.

Everything is bounded: sizes of pictures, pictures of a film, its bytes, thumbnails, and the time all of it takes. A
picture that cannot be made becomes a warning; the result is there without it.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.cage import Cage
from pipeline.cage_wire import Tick, no_tick
from pipeline.drawing import draw, plain_text
from pipeline.errors import PipelineError
from pipeline.film import ONLY_SECONDS, Film
from pipeline.frame import Frame
from pipeline.marks import Box, Mark, Moment
from pipeline.media import MediaInfo, Parts
from pipeline.pipelines.base import Pipeline, Row
from pipeline.pipelines.timeline import Pace
from pipeline.prefetch import Prefetch
from pipeline.stream import as_still

#: longest side of a picture and of a film, in pixels
STILL_SIDE, FILM_SIDE = 1920, 1280
#: longest side of the picture a thumbnail is cut from, and of the thumbnail
MOMENT_SIDE, THUMBNAIL_SIDE = 1920, 480
MAX_THUMBNAILS = 12
#: added around a moment's box on each side, as a share of the box's longer side
MARGIN = 0.25
#: sampled frames of a film; the frames between are added where that makes at most so many
MAX_FILM_PICTURES, MAX_EVERY_FRAME = 3000, 9000
MAX_FILM_BYTES = 256 * 1024**2
_JPEG = {"quality": 90, "subsampling": 0}


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that shows something of a result. name: unique in its job. caption: one line."""

    name: str
    content_type: str
    path: Path
    caption: str


@dataclass(frozen=True, slots=True)
class Shown:
    """One result: what made it, of which input, and what it says.

    rows: gives the rows from the first on, each time it is called. params: with every default filled in.
    """

    pipeline: Pipeline
    path: Path
    media: MediaInfo
    params: Mapping[str, Any]
    summary: Mapping[str, Any]
    rows: Callable[[], Iterable[Row]]
    parts: Parts | None = None

    @property
    def still(self) -> bool:
        """Whether only one picture of the input was looked at."""
        return as_still(self.pipeline, self.media)


@dataclass(slots=True)
class Illustrated:
    """The files that were made; of the others a warning for the user, and the error for whoever runs this."""

    artifacts: list[Artifact] = field(default_factory=list)
    #: [{"code": "artifacts.failed", "message": ...}]
    warnings: list[dict[str, str]] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)


def wishes(pipeline: Pipeline, params: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what the params ask for and the pipeline can show: of ``annotated``, ``thumbnails``."""
    asked = {"annotated" if name == "every_frame" else name for name in params.get("artifacts") or ()}
    return tuple(name for name, (method, _) in _MAKERS.items() if name in asked and hasattr(pipeline, method))


def illustrate(
    shown: Shown,
    cage: Cage,
    folder: Path,
    *,
    tick: Tick = no_tick,
    enough: Callable[[], bool] = lambda: False,
    stops: Callable[[Exception], bool] = lambda _: False,
) -> Illustrated:
    """Make the pictures that ``params["artifacts"]`` asks for, as files in ``folder``.

    tick: called after each picture and once a second; raises to stop, and the exception passes through if ``stops``
    says so. enough: whether the time for pictures is used up; a film then ends early, and a warning
    ``artifacts.shortened`` says so. stops: tells the exceptions that are no fault of a picture and pass through; all
    others become the warning ``artifacts.failed``.
    """
    done = Illustrated()
    for name in wishes(shown.pipeline, shown.params):
        studio = _Studio(shown, cage, folder, tick, enough)
        try:
            done.artifacts.extend(_MAKERS[name][1](studio))
        except Exception as error:
            if stops(error):
                raise
            done.errors.append(error)
            # what is no error of ours may name files of this machine
            message = error.message if isinstance(error, PipelineError) else type(error).__name__
            done.warnings.append({"code": "artifacts.failed", "message": f"{name}: {message}"})
        done.warnings.extend(studio.warnings)
    return done


class _Studio:
    """Makes the pictures of one kind."""

    def __init__(self, shown: Shown, cage: Cage, folder: Path, tick: Tick, enough: Callable[[], bool]) -> None:
        self._shown = shown
        self._cage = cage
        self._folder = folder
        self._tick = tick
        self._enough = enough
        self.warnings: list[dict[str, str]] = []

    def annotated(self) -> list[Artifact]:
        """The input with every mark of its rows: a picture of a still, a film of a video."""
        return self._picture() if self._shown.still else self._film()

    def thumbnails(self) -> list[Artifact]:
        """The pipeline's moments in their order, each cut out around its box."""
        offer = cast("Callable[..., Sequence[Moment]]", self._shown.pipeline.moments)  # type: ignore[attr-defined]
        moments = list(islice(offer(self._shown.summary, self._shown.params), MAX_THUMBNAILS))
        by_frame: dict[int, list[tuple[int, Moment]]] = {}
        for number, moment in enumerate(moments, start=1):
            by_frame.setdefault(moment.index, []).append((number, moment))
        found: dict[int, Artifact] = {}
        stopped = False
        with closing(self._frames(sorted(by_frame), MOMENT_SIDE)) as frames:
            for frame in frames:
                for number, moment in by_frame[frame.index]:
                    cut = _fitting(_cut_out(frame, moment.box), THUMBNAIL_SIDE)
                    found[number] = self._save(f"thumbnail-{number:02d}.jpg", cut, plain_text(moment.caption))
                stopped = self._enough()
                if stopped:
                    break
        if stopped and len(found) < len(moments):
            self._shorten(f"{len(found)} of {len(moments)} thumbnails")
        return [found[number] for number in sorted(found)]

    def _picture(self) -> list[Artifact]:
        row = next(iter(self._shown.rows()))
        with closing(self._frames([0], STILL_SIDE)) as frames:
            image, marks = self._drawn(row, next(frames), STILL_SIDE)
        return [self._save("annotated.jpg", image, _count(marks, "mark"))]

    def _film(self) -> list[Artifact]:
        """Frames that were looked at, each standing until the next; or every frame, with the last row's marks."""
        places, told, end_seconds = self._film_places()
        if not len(places):
            return []
        path, first, last = self._folder / "annotated.mp4", 0.0, 0.0
        rows, stopped = _Following(self._shown.rows()), False
        with (
            Film(path, frame_rate=self._shown.media.frame_rate) as film,
            closing(self._frames(places, FILM_SIDE)) as frames,
        ):
            for frame in frames:
                last = frame.pts_seconds
                first = first if film.count else last
                film.add(self._drawn(rows.at(frame.index), frame, FILM_SIDE)[0], last)
                stopped = self._enough() or film.size_bytes > MAX_FILM_BYTES
                if stopped:
                    break
            film.close(None if stopped else end_seconds)
        if stopped:
            self._shorten(f"a film of {film.count} of {len(places)} pictures, up to second {last:g}")
        if not film.count:  # what could be decoded for the rows cannot be any more
            return []
        caption = f"{film.count} of {told}, from second {first:g} on"
        return [Artifact(path.name, "video/mp4", path, caption)]

    def _film_places(self) -> tuple[Sequence[int], str, float]:
        """Return the frames of a film, of how many and which these are, and when the last one ends.

        Frames that were passed over look like the one before, which stands for them.
        """
        places, pace, total = array("q"), Pace(), 0
        row: Row = {}
        for row in self._shown.rows():
            total += 1
            pace.step(row["pts_seconds"])
            if row.get("carried_from") is None:
                places.append(row["index"])
        # a single frame has no pace: it stands as long as the video
        length = self._shown.media.duration_seconds
        until = pace.end_within(length)
        end_seconds = until if pace.span_seconds > 0 else row.get("pts_seconds", 0.0) + (length or ONLY_SECONDS)
        if "every_frame" in self._shown.params["artifacts"] and places:
            every = range(places[0], row["index"] + 1)
            if len(every) <= MAX_EVERY_FRAME:
                return every, f"{len(every)} frames", end_seconds
        if len(places) > MAX_FILM_PICTURES:
            spread = np.linspace(0, len(places) - 1, MAX_FILM_PICTURES).round().astype(np.int64)
            places = array("q", [places[number] for number in spread.tolist()])
        return places, f"{total} sampled frames", end_seconds

    def _frames(self, places: Sequence[int], side: int) -> Generator[Frame, None, None]:
        """Yield frames from the cage, decoded one ahead; a tick after each."""
        media = self._shown.media
        width = max(1, math.floor(media.width * min(1.0, side / max(media.width, media.height, 1))))
        wanted = np.array(places, dtype=np.int64)
        frames = self._cage.frames(self._shown.path, wanted, width=width, parts=self._shown.parts)
        with Prefetch(frames, 1, interrupt=self._cage.kill, idle=self._tick) as ahead:
            for frame in ahead:
                yield frame
                self._tick()

    def _drawn(self, row: Row, frame: Frame, side: int) -> tuple[NDArray[np.uint8], int]:
        """Return the frame, its sides at most ``side``, with the row's marks on it, and how many these are."""
        offer = cast("Callable[..., Sequence[Mark]]", self._shown.pipeline.marks)  # type: ignore[attr-defined]
        marks = list(offer(row, self._shown.params))
        image = _fitting(frame.image, side)
        scale = [frame.scale * new / old for new, old in zip(image.shape[:2], frame.image.shape[:2], strict=True)]
        return draw(image, marks, (scale[1], scale[0])), len(marks)

    def _save(self, name: str, image: NDArray[np.uint8], caption: str) -> Artifact:
        path = self._folder / name
        Image.fromarray(np.ascontiguousarray(image)).save(path, "JPEG", **_JPEG)
        return Artifact(name, "image/jpeg", path, caption)

    def _shorten(self, what: str) -> None:
        self.warnings.append({"code": "artifacts.shortened", "message": f"Time or room was used up: {what}."})


class _Following:
    """Rows in order, asked for by frames that rise: the row of a frame, or of the last sampled one before it."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = iter(rows)
        self._now: Row = next(self._rows)
        self._next = next(self._rows, None)

    def at(self, index: int) -> Row:
        while self._next is not None and self._next["index"] <= index:
            self._now, self._next = self._next, next(self._rows, None)
        return self._now


_MAKERS: Mapping[str, tuple[str, Callable[[_Studio], list[Artifact]]]] = {
    "annotated": ("marks", _Studio.annotated),
    "thumbnails": ("moments", _Studio.thumbnails),
}


def _cut_out(frame: Frame, box: Box | None) -> NDArray[np.uint8]:
    """Return the part of a frame around a box in source pixels; all of it where there is no box, or it is outside."""
    if box is None or not all(math.isfinite(value) for value in box):
        return frame.image
    height, width = frame.image.shape[:2]
    left, top, across, down = (value * frame.scale for value in box)
    margin = MARGIN * max(across, down)
    first, last = max(0, math.floor(left - margin)), min(width, math.ceil(left + across + margin))
    upper, lower = max(0, math.floor(top - margin)), min(height, math.ceil(top + down + margin))
    return frame.image[upper:lower, first:last] if first < last and upper < lower else frame.image


def _fitting(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return the picture with both sides at most ``side`` pixels."""
    height, width = image.shape[:2]
    if max(height, width) <= side:
        return image
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
