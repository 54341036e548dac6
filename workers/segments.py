"""Running the three kinds of segments: plan, infer, merge."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, cast

from pipeline.errors import DeviceOutOfMemory, MediaError, ModelUnavailable, PipelineError
from pipeline.media import MediaInfo
from pipeline.models.base import ModelShelf
from pipeline.pipelines.base import Pipeline, Row
from pipeline.rows import pack_rows, read_rows, unpack_rows
from pipeline.run import Range, Work, WorkResult, plan_input, run_works
from storage.claims import ClaimLost, Plan
from storage.job import ClaimedSegment, Done, Outcome, Rows, SegmentPlan
from storage.objects.keys import rows_key
from workers import metrics
from workers.hand import Hand, Stopped, outlasting_hiccups
from workers.illustrations import wanted, with_artifacts
from workers.inputs import Lent, keep_packets, lent
from workers.retry import TimedOut, concerns_everyone, decide

#: rows read between two signs of life of a merge
MERGE_STRIDE = 2000


def run_plans(hand: Hand, segments: Sequence[ClaimedSegment]) -> list[ClaimedSegment]:
    """Cut each input; return those that became their own only infer segment, still under this claim.

    Raises: ClaimLost, Stopped, TimedOut, and faults of the infrastructure.
    """
    plans: dict[str, Plan] = {}
    for segment in segments:
        try:
            plans[segment.id] = _plan(hand, segment)
        except Exception as error:  # noqa: BLE001 - whatever it is, only one segment was in work
            _own_or_raise(hand, segment, error)
    return _carry_out(hand, plans) if plans else []


def run_infers(hand: Hand, segments: Sequence[ClaimedSegment]) -> None:
    """Run like segments as one stream of model batches; each outcome is collected as soon as it is whole.

    Raises: ClaimLost, Stopped, TimedOut, faults of the infrastructure, and errors that are no one segment's.
    """
    station = hand.station
    pipeline = station.pipelines[hand.pipeline_name]
    params = segments[0].params
    with ExitStack() as inputs:
        works, found = _fetch_all(hand, segments, inputs)
        by_id = {segment.id: segment for segment in segments if segment.id in found}
        shelf = _shelf(hand, segments[0])
        if not _load_models(hand, pipeline, params, shelf):
            return

        def checkpoint(done: int, total: int) -> None:
            hand.progress(done, list(by_id.values()))
            hand.checkpoint()

        results = run_works(
            pipeline,
            works,
            params,
            station.cage,
            shelf,
            checkpoint=checkpoint,
            batch_size=station.limits.batch_size,
        )
        later: list[WorkResult] = []
        # closed here and now, whatever stops it: the cage must be free for the next claim
        with closing(cast("Generator[WorkResult]", results)):
            for result in results:
                if wanted(by_id[result.id]) and result.error is None:
                    later.append(result)  # to be drawn once the cage has nothing else to do
                else:
                    _collect(hand, by_id[result.id], result, found[result.id])
        while later:
            result = later.pop(0)
            _collect(hand, by_id[result.id], result, found[result.id])


def run_merge(hand: Hand, segment: ClaimedSegment) -> None:
    """Summarize the rows of all infer segments in order of time, streamed.

    Raises: ClaimLost, Stopped, TimedOut, faults of the infrastructure, and whatever the pipeline raises.
    """
    started = time.perf_counter()
    pipeline = hand.station.pipelines[segment.pipeline]
    summary = pipeline.summarize(_merged_rows(hand, segment), media_info(segment.media), segment.params)
    done = Done(segment.id, summary=summary, timings={"merge": round(time.perf_counter() - started, 4)})
    hand.collect(
        with_artifacts(
            hand,
            segment,
            done,
            media=media_info(segment.media),
            rows=lambda: _merged_rows(hand, segment),
            lend=lambda: lent(hand, segment),
        )
    )


def media_info(stored: Mapping[str, Any] | None) -> MediaInfo:
    """The facts about an input, as the plan stored them."""
    known = {field.name for field in fields(MediaInfo)}
    values = {name: value for name, value in (stored or {}).items() if name in known}
    return MediaInfo(**{**values, "warnings": tuple(values.get("warnings", ()))})


def _carry_out(hand: Hand, plans: Mapping[str, Plan]) -> list[ClaimedSegment]:
    """Write all plans of the claim in one transaction; what was taken from it meanwhile is let go."""
    planned = hand.patiently(lambda: hand.station.claims.plan_all(hand.claim, plans))
    for segment_id, plan in plans.items():
        segment = hand.open[segment_id]
        if segment_id in planned.lost:
            hand.lose(segment)
        elif segment_id in planned.cut:
            hand.planned(segment, len(plan.segments))
            hand.station.doorbell.ring(segment.lane, segment.size_class, len(plan.segments))
        else:
            hand.replace(planned.infers[segment_id])
    return list(planned.infers.values())


def _plan(hand: Hand, segment: ClaimedSegment) -> Plan:
    station = hand.station
    pipeline = station.pipelines[segment.pipeline]
    hand.checkpoint()
    with station.scratch.input(segment.input, hand.checkpoint) as (path, stored):
        hand.checkpoint()
        plan = plan_input(
            pipeline,
            path,
            segment.params,
            station.cage,
            _shelf(hand, segment),
            segment_seconds=station.limits.segment_seconds,
            tick=hand.checkpoint,
        )
        if len(plan.ranges) > 1:
            keep_packets(hand, segment, path)
    parts = [SegmentPlan(one.start_pts, one.end_pts, one.frames, one.cost_seconds) for one in plan.ranges]
    return Plan(parts, plan.media.as_json(), list(plan.warnings), stored.sha256)


def _fetch_all(hand: Hand, segments: Sequence[ClaimedSegment], inputs: ExitStack) -> tuple[list[Work], dict[str, Lent]]:
    works, found = [], {}
    for segment in segments:
        hand.checkpoint()
        try:
            found[segment.id] = inputs.enter_context(lent(hand, segment))
        except Exception as error:  # noqa: BLE001 - whatever it is, only one segment was in work
            _own_or_raise(hand, segment, error)
            continue
        part = segment.range
        cut = Range(part.start_pts, part.end_pts, part.frames, part.cost_seconds)
        one = found[segment.id]
        works.append(Work(segment.id, one.path, cut, media_info(segment.media), one.parts))
    return works, found


def _shelf(hand: Hand, segment: ClaimedSegment) -> ModelShelf:
    """The exact versions that the segment's job is pinned to; like segments have the same."""
    return hand.station.shelf_for(segment.pins, lambda: hand.checkpoint(hand.station.limits.load_seconds))


def _load_models(hand: Hand, pipeline: Pipeline, params: Mapping[str, Any], shelf: ModelShelf) -> bool:
    """Pull and load ahead of the first batch, with an allowance of its own; False when that settled every segment.

    Like segments share their model: one that is broken is the fault of each of them, and no halving would tell.
    """
    try:
        if pipeline.spec.models:
            hand.checkpoint(hand.station.limits.load_seconds)
            for model in pipeline.models_used(params, shelf):
                if "bundled_with" not in model:
                    shelf.load(str(model["name"]))
    except DeviceOutOfMemory as error:
        # no batch to halve: whoever has the device's memory may give it back
        raise ModelUnavailable(error.message, code=error.code, advice=error.advice) from error
    except PipelineError as error:
        for segment in list(hand.open.values()):
            _own_or_raise(hand, segment, error)
        return False
    hand.checkpoint()
    return True


def _collect(hand: Hand, segment: ClaimedSegment, result: WorkResult, given: Lent) -> None:
    """Take in what came of one segment; an error while it is put into words is its own."""
    metrics.count_decoder(result.decoder)
    try:
        outcome = _outcome(hand, segment, result, given)
    except Exception as error:  # noqa: BLE001 - whatever it is, only one segment was in work
        _own_or_raise(hand, segment, error)
    else:
        hand.collect(outcome)


def _outcome(hand: Hand, segment: ClaimedSegment, result: WorkResult, given: Lent) -> Outcome:
    if result.error is not None:
        return decide(result.error, segment, datetime.now(UTC), worker=hand.claim.worker_id)
    pipeline = hand.station.pipelines[segment.pipeline]
    only, media = segment.segments_total == 1, media_info(segment.media)
    done = Done(
        segment.id,
        rows=_keep_rows(hand, segment, result.rows),
        summary=pipeline.summarize(iter(result.rows), media, segment.params) if only else None,
        warnings=list(result.warnings),
        timings=result.timings,
        models=list(pipeline.models_used(segment.params, _shelf(hand, segment))),
        input_sha256=given.sha256,
    )
    return with_artifacts(hand, segment, done, media=media, rows=lambda: result.rows, lend=lambda: nullcontext(given))


def _keep_rows(hand: Hand, segment: ClaimedSegment, rows: Sequence[Row]) -> Rows:
    """Small results stay in the row, others become an object under the claim's own key."""
    data = pack_rows(rows)
    digest = hashlib.sha256(data).hexdigest()
    if len(data) <= hand.station.limits.inline_rows_bytes:
        return Rows(len(rows), len(data), digest, inline=data)
    key = rows_key(segment.job_id, segment.run, segment.id, hand.claim.id)
    _put(hand, key, data)
    return Rows(len(rows), len(data), digest, key=key)


@outlasting_hiccups
def _put(hand: Hand, key: str, data: bytes) -> None:
    hand.checkpoint()
    hand.station.objects.put(key, data, content_type="application/gzip")


def _merged_rows(hand: Hand, segment: ClaimedSegment) -> Iterator[Row]:
    count = 0
    for part in hand.station.parts.segment_results(segment.job_id, segment.run):
        hand.checkpoint()
        for row in _part_rows(hand, part.rows):
            yield row
            count += 1
            if count % MERGE_STRIDE == 0:
                hand.checkpoint()
    if count == 0:
        raise MediaError(
            "no frame of this video could be decoded", advice="Re-encode the file and submit it as a new job."
        )


def _part_rows(hand: Hand, rows: Rows | None) -> Iterator[Row]:
    if rows is None:
        return
    if rows.inline is not None:
        yield from unpack_rows(rows.inline)
    elif rows.key is not None:
        with hand.station.objects.open(rows.key) as body:
            yield from read_rows(body)


def _own_or_raise(hand: Hand, segment: ClaimedSegment, error: Exception) -> None:
    """Settle an error that is this segment's own; let pass what stops the whole claim."""
    if concerns_everyone(error) or isinstance(error, ClaimLost | Stopped | TimedOut):
        raise error
    hand.collect(decide(error, segment, datetime.now(UTC), worker=hand.claim.worker_id))
