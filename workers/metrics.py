"""Prometheus metrics of a worker: children write to files, the main process serves the sum on a loopback port."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server, values
from prometheus_client.multiprocess import MultiProcessCollector

if TYPE_CHECKING:
    from pipeline.decoder_choice import Verdict

# The library chooses between memory and files when it is imported, and Celery's command line imports it (for Flower)
# before the main process has named the folder: so let it choose again before our metrics are made.
values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]  # the library has no annotation here

OUTCOMES = Counter("framequeue_segments_total", "Segments by what became of them.", ["pipeline", "kind", "outcome"])
FRAMES = Counter("framequeue_frames_total", "Frames whose results were committed.", ["pipeline"])
STAGE_SECONDS = Counter("framequeue_stage_seconds_total", "Seconds of work by stage.", ["pipeline", "stage"])
DECODED = Counter(
    "framequeue_decoded_segments_total", "Segments of videos by what decoded them, and why.", ["on", "why"]
)
CLAIM_SECONDS = Histogram(
    "framequeue_claim_seconds",
    "From claim to the end of its last segment.",
    ["pipeline", "kind"],
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000),
)
CLAIMS = Counter("framequeue_claims_total", "Looks for work, and whether there was any.", ["found"])
LOST_CHILDREN = Counter("framequeue_lost_children_total", "Worker processes that died.")


def count_stages(pipeline: str, seconds: Mapping[str, float]) -> None:
    """Add the seconds each stage of one segment took."""
    for stage, taken in seconds.items():
        STAGE_SECONDS.labels(pipeline, stage).inc(max(0.0, taken))


def count_decoder(verdict: Verdict | None) -> None:
    """Count what decoded a segment; None: it was no video."""
    if verdict is not None:
        DECODED.labels(verdict.on.partition(":")[0], verdict.why).inc()


def serve_sum(host: str, port: int, folder: Path) -> None:
    """Serve the sum over all processes of this worker.

    ``PROMETHEUS_MULTIPROC_DIR`` must have been ``folder`` when this module was imported, here and in the children.
    """
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]  # the library has no annotation here
    start_http_server(port, addr=host, registry=registry)
