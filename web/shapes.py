"""Rows into documents; pure."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from storage.depth import LaneDepth
from storage.fleet import WorkerRow
from storage.job import Job, JobState
from storage.jobs import QueuePlace
from storage.objects.port import StoredPart
from storage.registry import PipelineRow
from storage.uploads import Upload
from web import documents as doc
from web.gaps import missing_ranges
from web.situation import Scene, eta_seconds, waiting_for

#: members of a stored fault that are for operators' eyes
_INTERNAL = frozenset({"stack", "worker", "host"})


@dataclass(frozen=True, slots=True)
class View:
    """What a job document tells besides the row."""

    base_url: str
    scene: Scene
    place: QueuePlace | None = None


def job_document(job: Job, view: View) -> doc.JobDocument:
    """Return the document of a job."""
    waits = job.state is JobState.QUEUED
    return doc.JobDocument(
        id=job.id,
        run=job.run,
        state=job.state,
        terminal=job.terminal,
        pipeline=job.pipeline,
        params=job.params,
        priority=job.priority,
        metadata=job.metadata,
        stage=job.stage,
        progress=min(1.0, max(0.0, job.progress)),
        queue_position=view.place.position if view.place and waits else None,
        eta_seconds=eta_seconds(job, view.place, view.scene),
        waiting_for=waiting_for(job, view.scene),
        attempts=job.attempts,
        segments=doc.SegmentCount(total=job.segments_total, left=job.segments_left),
        frames=job.frames,
        times=_times(job),
        timings=job.timings,
        input=_input(job),
        media=job.media,
        models=job.models or [{"name": name, **one} for name, one in sorted(job.pins.items())],
        summary=job.summary,
        warnings=[public_fault(warning) for warning in job.warnings],
        error=public_fault(job.error) if job.error else None,
        same_error_runs=job.same_error_runs,
        results_deleted_at=job.results_deleted_at,
        allow_partial=job.allow_partial,
        missing_ranges=missing_ranges(job),
        batch_id=job.batch_id,
        webhook_url=job.webhook_url,
        urls=job_urls(view.base_url, job.id),
    )


def _times(job: Job) -> doc.JobTimes:
    return doc.JobTimes(
        created_at=job.created_at,
        updated_at=job.updated_at,
        run_after=job.run_after,
        expires_at=job.expires_at,
        queued_at=job.queued_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
    )


def _input(job: Job) -> doc.InputFacts:
    source = job.input
    return doc.InputFacts(
        filename=source.filename,
        content_type=source.content_type,
        size_bytes=source.size_bytes,
        sha256=source.sha256,
        source_url=source.source_url,
        deleted_at=job.input_deleted_at,
    )


def job_urls(base_url: str, job_id: str) -> doc.JobUrls:
    """Return where everything of a job is."""
    own = f"{base_url}/v1/jobs/{job_id}"
    return doc.JobUrls(
        self=own,
        events=f"{own}/events",
        frames=f"{own}/frames",
        result=f"{own}/result",
        artifacts=f"{own}/artifacts",
        cancel=f"{own}/cancel",
        replay=f"{own}/replay",
    )


def public_fault(fault: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored fault without what only an operator should see."""
    return {name: value for name, value in fault.items() if name not in _INTERNAL}


def etag_of(document: doc.JobDocument) -> str:
    """Return a weak ETag: the same as long as nothing but the estimate has changed."""
    text = document.model_dump_json(exclude={"eta_seconds"})
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:24]}"'


def pipeline_document(row: PipelineRow, scene: Scene) -> doc.PipelineDocument:
    """Return the document of a registered pipeline."""
    spec = row.spec
    return doc.PipelineDocument(
        name=row.name,
        description=spec.get("description", ""),
        accepts=spec.get("accepts", []),
        lane=row.lane,
        spec_version=row.spec_version,
        params_schema=spec.get("params_schema", {}),
        summary_fields=spec.get("summary_fields", {}),
        models=spec.get("models", {}),
        max_runtime_seconds=spec.get("max_runtime_seconds"),
        live_workers=sum(count for (lane, _), count in scene.workers.items() if lane == row.lane),
    )


def lane_document(depth: LaneDepth, scene: Scene) -> doc.LaneDocument:
    """Return the document of a lane."""
    return doc.LaneDocument(
        lane=depth.lane,
        size_class=depth.size_class,
        waiting=depth.waiting,
        ready=depth.ready,
        claimed=depth.claimed,
        oldest_ready_seconds=depth.oldest_ready_seconds,
        cost_ahead_seconds=depth.cost_ahead_seconds,
        live_workers=scene.workers.get((depth.lane, depth.size_class), 0),
    )


def worker_document(row: WorkerRow) -> doc.WorkerDocument:
    """Return the document of a worker."""
    return doc.WorkerDocument(
        id=row.id,
        host=row.host,
        pid=row.pid,
        state=row.state,
        lanes=row.lanes,
        size_classes=row.size_classes,
        pipelines=row.pipelines,
        device=row.device,
        claimed_segments=row.claimed_segments,
        started_at=row.started_at,
        heartbeat_at=row.heartbeat_at,
    )


def upload_document(upload: Upload, parts: Sequence[StoredPart]) -> doc.UploadDocument:
    """Return the document of an upload."""
    return doc.UploadDocument(
        id=upload.id,
        state=upload.state,
        size_bytes=upload.size_bytes,
        part_size_bytes=upload.part_size_bytes,
        part_count=part_count(upload),
        parts=[doc.UploadedPart(number=part.number, size_bytes=part.size_bytes, etag=part.etag) for part in parts],
        filename=upload.filename,
        content_type=upload.content_type,
        created_at=upload.created_at,
        expires_at=upload.expires_at,
    )


def part_count(upload: Upload) -> int:
    """How many parts an upload has."""
    return math.ceil(upload.size_bytes / upload.part_size_bytes)


def part_bytes(upload: Upload, number: int) -> int:
    """Size of one part, numbered from 1."""
    last = part_count(upload)
    return upload.part_size_bytes if number < last else upload.size_bytes - (last - 1) * upload.part_size_bytes
