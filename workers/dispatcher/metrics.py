"""Prometheus metrics of the dispatcher."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

LAST_RUN = Gauge("framequeue_duty_last_run_timestamp_seconds", "When this replica last ran a duty.", ["duty"])
PASS_SECONDS = Histogram(
    "framequeue_duty_pass_seconds", "How long a pass takes.", ["duty"], buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 60)
)
FAILURES = Counter("framequeue_duty_failures_total", "Passes that ended in an error.", ["duty", "error"])
RINGS = Counter("framequeue_doorbells_rung_total", "Doorbells rung by the dispatcher.", ["queue"])
READY = Gauge("framequeue_ready_segments", "Segments ready to be claimed, counted to 10,000.", ["queue"])
LIVE = Gauge("framequeue_live_workers", "Live workers of a queue.", ["queue"])
LOST = Counter("framequeue_lost_segments_total", "Segments taken back from silent workers.")
WOKEN = Counter("framequeue_woken_passes_total", "Passes that found due segments.")
REPLAYED = Counter("framequeue_replayed_jobs_total", "Dead letters that orders have started again.")
LET_GO = Counter("framequeue_retention_jobs_total", "Jobs whose inputs, results or rows have had their time.", ["what"])
EXPIRED = Counter("framequeue_expired_jobs_total", "Jobs that ended past their expiry.")
