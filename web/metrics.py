"""What Prometheus reads: the request counters of all web processes, and the queue as it stands."""

from __future__ import annotations

import os
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import multiprocess as several_processes
from prometheus_client.core import REGISTRY, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from storage.depth import Depth, LaneDepth
from storage.errors import StorageUnavailable
from storage.fleet import Fleet


class QueueCollector(Collector):
    """Gauges read from PostgreSQL at each scrape; without it, only ``fq_database_up 0``."""

    def __init__(self, depth: Depth, fleet: Fleet) -> None:
        self._depth = depth
        self._fleet = fleet

    def collect(self) -> Iterable[Metric]:
        """Yield the gauges."""
        up = GaugeMetricFamily("fq_database_up", "Whether PostgreSQL answered this scrape.")
        try:
            gauges = [*_lane_gauges(self._depth.lanes()), self._jobs(), self._workers()]
        except StorageUnavailable:
            up.add_metric([], 0)
            return [up]
        up.add_metric([], 1)
        return [up, *gauges]

    def _jobs(self) -> Metric:
        jobs = GaugeMetricFamily("fq_jobs", "Jobs per state (estimated past 100,000).", labels=["state"])
        for state, count in self._depth.jobs_by_state().items():
            jobs.add_metric([state], count)
        return jobs

    def _workers(self) -> Metric:
        workers = GaugeMetricFamily("fq_workers", "Live worker processes.", labels=["lane", "size_class"])
        for (lane, size_class), count in self._fleet.live_by_lane().items():
            workers.add_metric([lane, size_class], count)
        return workers


def _lane_gauges(lanes: Iterable[LaneDepth]) -> list[Metric]:
    labels = ["lane", "size_class"]
    segments = GaugeMetricFamily("fq_segments", "Unfinished segments.", labels=[*labels, "state"])
    oldest = GaugeMetricFamily("fq_oldest_ready_seconds", "Age of the oldest ready segment.", labels=labels)
    cost = GaugeMetricFamily("fq_cost_ahead_seconds", "Predicted work that waits.", labels=labels)
    for lane in lanes:
        names = [lane.lane, lane.size_class]
        segments.add_metric([*names, "waiting"], lane.waiting)
        segments.add_metric([*names, "ready"], lane.ready)
        segments.add_metric([*names, "claimed"], lane.claimed)
        oldest.add_metric(names, lane.oldest_ready_seconds or 0.0)
        cost.add_metric(names, lane.cost_ahead_seconds)
    return [segments, oldest, cost]


def exposition(collector: Collector) -> bytes:
    """Return the text of one scrape: this process's counters, or those of all (PROMETHEUS_MULTIPROC_DIR)."""
    registry = CollectorRegistry()
    registry.register(collector)
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        several_processes.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus_client has none
        return generate_latest(registry)
    return generate_latest(registry) + generate_latest(REGISTRY)
