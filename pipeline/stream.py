"""Frames of several works as one stream, each work's end marked, no work's fault touching another."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from pipeline import sampling
from pipeline.adaptive import Rule
from pipeline.cage import Cage
from pipeline.cage_wire import Tick, no_tick
from pipeline.decoder_choice import Verdict
from pipeline.errors import CageUnavailable, MediaError, PipelineError
from pipeline.frame import Frame, Skipped
from pipeline.media import MediaInfo, PacketIndex, Parts
from pipeline.pipelines.base import Pipeline
from pipeline.planning import Range, Selection, select
from pipeline.sensors.read import read_recording


@dataclass(frozen=True, slots=True)
class Work:
    """One segment to run: an input on disk and the range of it."""

    id: str
    path: Path
    range: Range
    media: MediaInfo
    #: where not all of the input is on the disk
    parts: Parts | None = None


@dataclass(frozen=True, slots=True)
class Sampled:
    """A frame and the number of the work it belongs to."""

    work: int
    frame: Frame


@dataclass(frozen=True, slots=True)
class Carried:
    """Frames that were passed over: the last sampled frame's result is theirs too."""

    work: int
    skipped: Skipped


@dataclass(frozen=True, slots=True)
class Ended:
    """No more frames of this work: all were had, or ``error`` says why not."""

    work: int
    error: PipelineError | None
    warnings: tuple[Mapping[str, Any], ...]
    decode_seconds: float
    decoder: Verdict | None = None


class WorkStream:
    """Decode works one after another; iterate once, in one thread.

    ``stop`` ends a work early (its model failed, say) from another thread; the stream then goes on to the next.
    """

    def __init__(self, pipeline: Pipeline, works: Sequence[Work], params: Mapping[str, Any], cage: Cage) -> None:
        self._pipeline = pipeline
        self._works = works
        self._params = params
        self._cage = cage
        self._stopped: set[int] = set()

    def stop(self, work: int) -> None:
        """Decode no further frames of this work."""
        self._stopped.add(work)

    def events(self) -> Iterator[Sampled | Carried | Ended]:
        """Yield every work's frames in time order, then its Ended; works in the order given.

        Raises: CageUnavailable.
        """
        for number in range(len(self._works)):
            yield from self._one(number)

    def _one(self, number: int) -> Iterator[Sampled | Carried | Ended]:
        work, clock = self._works[number], _Clock()
        seen = self._cage.warnings
        error: PipelineError | None = None
        try:
            with closing(clock.timed(lambda: self._frames(work))) as frames:
                for frame in frames:
                    if number in self._stopped:
                        break
                    yield Carried(number, frame) if isinstance(frame, Skipped) else Sampled(number, frame)
        except CageUnavailable:
            raise  # no work's own fault
        except PipelineError as raised:
            error = raised
        warnings = _news(seen, self._cage.warnings)
        if isinstance(error, MediaError) and not _is_whole(work.range):
            # Other ranges of the same input may be sound: a hole is told, it does not fail the job.
            warnings = (*warnings, {"code": "media.damaged", "message": f"a stretch was left out: {error.message}"})
            error = None
        decoder = None if work.media.kind == "sensor" else self._cage.decoder
        yield Ended(number, error, warnings, clock.seconds, decoder)

    def _frames(self, work: Work) -> Iterator[Frame | Skipped]:
        if work.media.kind == "sensor":
            # It has what this stream and its consumers ask of a frame; only the pipeline, which asked for it, looks in.
            return iter([cast(Frame, read_recording(work.path, self._params))])
        sampler = sampler_of(self._params, work.media)
        rule = None if as_still(self._pipeline, work.media) else sampling.adaptive_rule(sampler)
        selection = self._select(work, sampler, rule)
        return self._cage.frames(
            work.path,
            selection.wanted,
            width=self._params.get("width"),
            report_from=selection.report_from,
            gate=None if rule is None else rule.as_json(),
            parts=work.parts,
        )

    def _select(self, work: Work, sampler: Mapping[str, Any], rule: Rule | None) -> Selection:
        if as_still(self._pipeline, work.media):
            return Selection(np.zeros(1, dtype=np.int64), 0)
        index = packet_index(self._cage, work.path, parts=work.parts)
        return select(
            index,
            sampling.choose(index, sampler),
            work.range,
            lead_in_seconds=self._pipeline.lead_in_seconds,
            lead_in_frames=getattr(self._pipeline, "lead_in_frames", 0),
            rule=rule,
        )


class _Clock:
    """Adds up the time spent inside an iterator, not that spent by whoever takes from it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, start: Callable[[], Iterator[Frame | Skipped]]) -> Generator[Frame | Skipped, None, None]:
        began = time.perf_counter()
        frames: Iterator[Frame | Skipped] | None = None
        try:
            frames = start()
            for frame in frames:
                self.seconds += time.perf_counter() - began
                yield frame
                began = time.perf_counter()
        finally:
            self.seconds += time.perf_counter() - began
            if frames is not None and hasattr(frames, "close"):
                frames.close()


def sampler_of(params: Mapping[str, Any], media: MediaInfo) -> Mapping[str, Any]:
    """Return the sampler the params ask for, with what the plan chose for this input (``extra["sampler"]``) over it.

    Empty, which is the default one, for pipelines that offer none.
    """
    return {**(params.get("sampler") or {}), **media.extra.get("sampler", {})}


def as_still(pipeline: Pipeline, media: MediaInfo) -> bool:
    """Return whether only the first picture is taken: stills, and animations where video is not accepted."""
    return media.kind == "image" or (media.kind == "animation" and "video" not in pipeline.spec.accepts)


def sampler_label(pipeline: Pipeline, media: MediaInfo, params: Mapping[str, Any]) -> str:
    """Return the rows' ``sampler``: the policy in words, ``still`` or ``whole`` where there was nothing to choose."""
    if media.kind == "sensor":
        return "whole"
    return "still" if as_still(pipeline, media) else sampling.label(sampler_of(params, media))


def packet_index(cage: Cage, path: Path, tick: Tick = no_tick, *, parts: Parts | None = None) -> PacketIndex:
    """Index an input, or return the index of the same unchanged file from shortly before.

    Many segments of one video run on the same worker, and a long index takes seconds; ``tick`` as in ``Cage.index``.
    Raises: MediaError, CageError, and what ``tick`` raises.
    """
    facts = path.stat()
    # the time of a file says nothing while it is being filled
    changed = facts.st_mtime_ns if parts is None else hash(parts.known)
    place = _place(cage, path, facts.st_size, changed, facts.st_ino)
    if not place:
        place.append(cage.index(path, tick, parts=parts))
    return place[0]


@lru_cache(maxsize=4)
def _place(cage: Cage, path: Path, *identity: int) -> list[PacketIndex]:
    """Where the index of a file is kept: empty until it is made."""
    return []


def _is_whole(span: Range) -> bool:
    return span.start_pts is None and span.end_pts is None


def _news(before: tuple[Mapping[str, Any], ...], after: tuple[Mapping[str, Any], ...]) -> tuple[Mapping[str, Any], ...]:
    return after[len(before) :] if after[: len(before)] == before else after
