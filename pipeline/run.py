"""The whole route in one screen: cage -> sample -> batch -> infer -> observe -> rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.batching import batched
from pipeline.cage import Cage
from pipeline.cage_gate import SKIPPED_IN_MESSAGE
from pipeline.cage_wire import Tick, no_tick
from pipeline.choosing import choose_for_plan
from pipeline.decoder_choice import Verdict
from pipeline.errors import MediaError, ModelError, ParamsError, PipelineError
from pipeline.frame import Frame, Skipped
from pipeline.inference import BatchInference, Failed
from pipeline.media import MediaInfo
from pipeline.memory import BATCH_BYTES, ahead
from pipeline.models.base import ModelShelf
from pipeline.pipelines.base import Pipeline, Row
from pipeline.planning import Range, cut_ranges, decode_seconds
from pipeline.prefetch import Prefetch
from pipeline.sensors.read import is_recording, media_of, read_recording
from pipeline.spec import ParamsInvalid, canonical_params
from pipeline.stream import Carried, Ended, Sampled, Work, WorkStream, as_still, packet_index, sampler_label, sampler_of
from pipeline.timing import StageTimer

__all__ = [
    "Checkpoint",
    "Plan",
    "Range",
    "Work",
    "WorkResult",
    "batch_size_for",
    "filled_params",
    "plan_input",
    "run_works",
]

#: called with (frames done, frames in all) after each batch, and each second while the decoder searches for the next
#: frame; raises to stop the work, and the exception passes through
Checkpoint = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How an input is cut; a pure function of packet index, params and declared cost."""

    media: MediaInfo
    ranges: tuple[Range, ...]
    warnings: tuple[Mapping[str, Any], ...] = ()


@dataclass(slots=True)
class WorkResult:
    """What came of one Work: rows for all reported frames, or the error that is this work's own."""

    id: str
    rows: list[Row] = field(default_factory=list)
    error: PipelineError | None = None
    warnings: list[Mapping[str, Any]] = field(default_factory=list)
    #: seconds per stage: decode, infer, observe
    timings: dict[str, float] = field(default_factory=dict)
    #: what decoded it, and why that; None where it was no video
    decoder: Verdict | None = None


def plan_input(
    pipeline: Pipeline,
    path: Path,
    params: Mapping[str, Any],
    cage: Cage,
    shelf: ModelShelf,
    *,
    segment_seconds: float = 30.0,
    tick: Tick = no_tick,
) -> Plan:
    """Probe and index an input and cut it into ranges of about ``segment_seconds`` of work, starting at keyframes.

    tick: called about twice a second while a long input is indexed; raises to stop, and the exception passes through.
    Raises: MediaError, ParamsError, CageError, CageUnavailable.
    """
    params = filled_params(pipeline, params)
    pipeline.check(params, shelf)
    if is_recording(path, pipeline.spec.accepts):
        return _plan_recording(pipeline, path, params, shelf, tick)
    media = cage.probe(path)
    _check_accepts(pipeline, media)
    frame_seconds = pipeline.cost_seconds(params, shelf)
    if as_still(pipeline, media):
        cost = frame_seconds + decode_seconds(media)
        return Plan(media, (Range(frames=1, cost_seconds=round(cost, 6)),), media.warnings)
    index = packet_index(cage, path, tick)
    choice = choose_for_plan(cage, path, index, media, sampler_of(params, media), tick=tick)
    if not len(choice.places):
        raise MediaError("the input holds no frame", code="media.empty")
    ranges = cut_ranges(
        choice.cuts,
        choice.places,
        frame_seconds=frame_seconds * choice.kept_share,
        decode_frame_seconds=decode_seconds(media),
        segment_seconds=segment_seconds,
    )
    found = [warning for warning in cage.warnings if warning not in media.warnings]
    return Plan(choice.media, ranges, (*media.warnings, *found, *choice.warnings))


def _plan_recording(pipeline: Pipeline, path: Path, params: Mapping[str, Any], shelf: ModelShelf, tick: Tick) -> Plan:
    """Read all of a recording, so that a bad one is refused before it is run; it is one segment."""
    media = media_of(read_recording(path, params, tick=tick))
    cost = pipeline.cost_seconds(params, shelf) * max(1.0, (media.duration_seconds or 0.0) / 60)
    return Plan(media, (Range(frames=1, cost_seconds=round(cost, 6)),), media.warnings)


def run_works(
    pipeline: Pipeline,
    works: Sequence[Work],
    params: Mapping[str, Any],
    cage: Cage,
    shelf: ModelShelf,
    *,
    checkpoint: Checkpoint,
    batch_size: int = 8,
) -> Iterator[WorkResult]:
    """Run like segments as one stream of batches; yield each work's result as soon as it is whole, in order.

    An error that belongs to one work (undecodable, a model error on its frame) is in its result; out-of-memory
    halves the batch; what ``checkpoint`` raises passes through. Exactly one result per work otherwise.
    Raises: ParamsError, ModelUnavailable, CageUnavailable, and what ``checkpoint`` raises; the cage is then free again.
    """
    params = filled_params(pipeline, params)
    stream = WorkStream(pipeline, works, params, cage)
    batch_size = batch_size_for(pipeline, batch_size)
    inference = BatchInference(pipeline, params, shelf, batch_size)
    under_way = [_UnderWay(pipeline, work, params) for work in works]
    total = sum(work.range.frames for work in works)

    def report() -> None:
        checkpoint(sum(one.done for one in under_way), total)

    with Prefetch(stream.events(), ahead(batch_size), interrupt=cage.kill, idle=report) as events:
        for batch in batched(events, lambda: inference.size, counts=_fills, weight=_bytes, room=BATCH_BYTES):
            yield from _run_batch(batch, inference, under_way, stream)
            del batch  # its frames must not live on while the next ones are gathered
            report()


def batch_size_for(pipeline: Pipeline, batch_size: int) -> int:
    """Return how many frames a batch of this pipeline holds where ``batch_size`` are allowed."""
    return min(batch_size, getattr(pipeline, "max_batch", batch_size))


def _run_batch(
    batch: Sequence[Sampled | Carried | Ended],
    inference: BatchInference,
    under_way: Sequence[_UnderWay],
    stream: WorkStream,
) -> Iterator[WorkResult]:
    sampled = [event for event in batch if isinstance(event, Sampled) and not under_way[event.work].failed]
    started = time.perf_counter()
    items = iter(inference.infer([event.frame for event in sampled]))
    seconds = (time.perf_counter() - started) / max(1, len(sampled))
    skipped = {event.work for event in batch if under_way[event.work].failed}
    for event in batch:
        one = under_way[event.work]
        if isinstance(event, Ended):
            yield one.end(event)
        elif event.work in skipped:
            continue
        elif isinstance(event, Carried):
            one.carry(event.skipped)
        else:
            one.observe(event.frame, next(items), seconds)
            if one.failed:
                stream.stop(event.work)


def _fills(event: Sampled | Carried | Ended) -> bool:
    """Say whether an event takes room in a batch: a picture does; a long stretch passed over too, to keep progress."""
    if isinstance(event, Carried):
        return len(event.skipped.frames) >= SKIPPED_IN_MESSAGE
    return isinstance(event, Sampled)


def _bytes(event: Sampled | Carried | Ended) -> int:
    return event.frame.nbytes if isinstance(event, Sampled) else 0


class _UnderWay:
    """One work between its first frame and its end."""

    def __init__(self, pipeline: Pipeline, work: Work, params: Mapping[str, Any]) -> None:
        self._pipeline = pipeline
        self._work = work
        self._params = params
        self._sampler = sampler_label(pipeline, work.media, params)
        self._timer = StageTimer()
        self._result = WorkResult(work.id)
        self._adaptive = self._sampler.startswith("adaptive:")
        self._last: Row | None = None
        self._state: Any = None
        self._observed = 0
        self._reported = 0
        self._ended = False

    @property
    def failed(self) -> bool:
        return self._result.error is not None

    @property
    def done(self) -> int:
        """Frames done, of those the plan foresaw; never falls."""
        planned = self._work.range.frames
        return planned if self._ended else min(self._reported, planned)

    def observe(self, frame: Frame, item: Any, infer_seconds: float) -> None:
        """Turn one frame's inference into a row, or into this work's error; nothing once it has failed."""
        if self.failed:
            return
        self._timer.add("infer", infer_seconds)
        if isinstance(item, Failed):
            self._fail(item.error)
            return
        try:
            with self._timer.stage("observe"):
                row = self._row(frame, item)
        except PipelineError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - a pipeline may raise anything; it is charged to its work
            failure = ModelError(f"{self._pipeline.spec.name}: {type(error).__name__}: {error}")
            failure.__cause__ = error
            self._fail(failure)
        else:
            self._last = row
            if frame.report:
                self._reported += 1
                self._result.rows.append(row)

    def carry(self, skipped: Skipped) -> None:
        """Give frames that were passed over the last frame's result, marked with whose it is; nothing once failed."""
        if self.failed or self._last is None:
            return
        passing = getattr(self._pipeline, "not_carried", {})
        for index, pts, seconds in skipped.frames:
            own = {"index": index, "pts": pts, "pts_seconds": round(seconds, 6), "carried_from": self._last["index"]}
            self._result.rows.append({**self._last, **own, **passing})
        self._reported += len(skipped.frames)

    def end(self, event: Ended) -> WorkResult:
        """Return the whole result."""
        self._ended = True
        self._timer.add("decode", event.decode_seconds)
        self._result.decoder = event.decoder
        self._result.warnings.extend(event.warnings)
        if event.error is not None and not self.failed:
            self._fail(event.error)
        self._result.timings = self._timer.seconds
        return self._result

    def _row(self, frame: Frame, item: Any) -> Row:
        if not self._observed:
            self._state = self._pipeline.start(self._work.media, self._params)
        self._observed += 1
        found = self._pipeline.observe(self._state, frame, item, self._params)
        return {
            "index": frame.index,
            "pts": frame.pts,
            "pts_seconds": round(frame.pts_seconds, 6),
            "sampler": self._sampler,
            **({"carried_from": None} if self._adaptive else {}),
            **found,
        }

    def _fail(self, error: PipelineError) -> None:
        self._result.error = error
        self._result.rows.clear()


def filled_params(pipeline: Pipeline, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job's params with every default filled in. Raises: ParamsError."""
    try:
        return canonical_params(pipeline.spec.params_schema, params)
    except ParamsInvalid as error:
        raise ParamsError(str(error)) from error


def _check_accepts(pipeline: Pipeline, media: MediaInfo) -> None:
    wanted = {"image": {"image"}, "animation": {"image", "video"}, "video": {"video"}}.get(media.kind, set())
    if not wanted & set(pipeline.spec.accepts):
        raise MediaError(
            f"{pipeline.spec.name} does not take {media.kind} input",
            code="media.unsupported",
            advice=f"It takes: {', '.join(pipeline.spec.accepts)}.",
        )
