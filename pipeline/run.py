"""The whole route in one screen: cage -> sample -> batch -> infer -> observe -> rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.cage import Cage
from pipeline.errors import PipelineError
from pipeline.media import MediaInfo
from pipeline.models.base import ModelShelf
from pipeline.pipelines.base import Pipeline, Row

#: called with (frames done, frames in all) after each batch; raises to stop the work, and the exception passes through
Checkpoint = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Range:
    """One planned segment: [start_pts, end_pts) in the source's time base; None is open."""

    start_pts: int | None = None
    end_pts: int | None = None
    frames: int = 1
    cost_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How an input is cut; a pure function of packet index, params and declared cost."""

    media: MediaInfo
    ranges: tuple[Range, ...]
    warnings: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Work:
    """One segment to run: an input on disk and the range of it."""

    id: str
    path: Path
    range: Range
    media: MediaInfo


@dataclass(slots=True)
class WorkResult:
    """What came of one Work: rows for all reported frames, or the error that is this work's own."""

    id: str
    rows: list[Row] = field(default_factory=list)
    error: PipelineError | None = None
    warnings: list[Mapping[str, Any]] = field(default_factory=list)
    #: seconds per stage: decode, infer, observe
    timings: dict[str, float] = field(default_factory=dict)


def plan_input(
    pipeline: Pipeline, path: Path, params: Mapping[str, Any], cage: Cage, shelf: ModelShelf, *,
    segment_seconds: float = 30.0,
) -> Plan:
    """Probe and index an input and cut it into ranges of about ``segment_seconds`` of work, starting at keyframes.

    Raises: MediaError, ParamsError, CageError.
    """
    raise NotImplementedError


def run_works(
    pipeline: Pipeline, works: Sequence[Work], params: Mapping[str, Any], cage: Cage, shelf: ModelShelf, *,
    checkpoint: Checkpoint, batch_size: int = 8,
) -> Iterator[WorkResult]:
    """Run like segments as one stream of batches; yield each work's result as soon as it is whole, in order.

    An error that belongs to one work (undecodable, a model error on its frame) is in its result; out-of-memory
    halves the batch; what ``checkpoint`` raises passes through. Exactly one result per work otherwise.
    """
    raise NotImplementedError
