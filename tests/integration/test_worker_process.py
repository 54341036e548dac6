"""A worker as an operator starts it: Celery's prefork pool on real Redis and PostgreSQL."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
import redis
from celery import Celery

from deploy.local.child import free_port
from storage.fleet import Fleet
from storage.job import JobState
from tests.integration.processes import frozen
from tests.integration.queue_bed import done_twice, make_clip, make_still, wait_until
from tests.integration.stand import HANGS, SLOW, Stand
from workers.doorbell import Bell


def test_a_bell_leads_to_a_result_and_a_stop_leaves_nothing_behind(stand: Stand) -> None:
    worker = stand.worker()
    job_id = stand.bed.submit(make_still())
    stand.ring()
    job = stand.bed.wait_for(job_id, seconds=20)
    assert job.state == JobState.SUCCEEDED
    (ready,) = worker.events("worker.child_ready")
    assert ready["cage"]["memory"] is True
    children = psutil.Process(worker.pid).children(recursive=True)
    started = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - started < 10
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert [row.state for row in Fleet(stand.bed.database).list()] == ["stopped"]
    assert not list((stand.folder / "scratch").iterdir())


def test_the_main_process_serves_the_metrics_of_its_children(stand: Stand) -> None:
    port = free_port(None)
    stand.worker(concurrency=2, worker_metrics_port=port)
    job_ids = [stand.bed.submit(make_still(level)) for level in range(12)]
    stand.ring(count=2)
    for one in job_ids:
        stand.bed.wait_for(one, seconds=20)

    def committed() -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        values = [line.split()[1] for line in lines if line.startswith('framequeue_frames_total{pipeline="motion"}')]
        return float(values[0]) if values else 0.0

    assert wait_until(committed, lambda frames: frames >= 12, seconds=10) == 12


def test_celerys_own_command_starts_a_worker_too(stand: Stand) -> None:
    arguments = ["-A", "workers.celery_app", "worker", "--pool", "prefork", "--concurrency", "1"]
    stand.worker(module="celery", arguments=arguments)
    job_id = stand.bed.submit(make_still())
    stand.ring()
    assert stand.bed.wait_for(job_id, seconds=20).state == JobState.SUCCEEDED


def test_the_main_process_opens_no_media_library_and_no_model(stand: Stand) -> None:
    worker = stand.worker()
    maps = Path(f"/proc/{worker.pid}/maps").read_text()
    (child,) = worker.pool_children()
    assert "numpy" in Path(f"/proc/{child}/maps").read_text()
    for library in ("torch", "numpy", "/cv2/", "/av/", "onnxruntime"):
        assert library not in maps


def test_a_killed_child_costs_the_segment_in_hand_and_no_other(stand: Stand) -> None:
    worker = stand.worker(pipelines=SLOW, segment_seconds=0.02)
    clip = make_clip(stand.folder / "clip.mp4", seconds=12.0)
    job_id = stand.bed.submit(clip, pipeline=SLOW, size_class="long")
    stand.ring("long")
    stand.bed.wait_for(job_id, lambda job: 2 <= job.segments_total - job.segments_left < job.segments_total, seconds=30)
    (child,) = worker.pool_children()
    os.kill(child, signal.SIGKILL)
    killed = time.monotonic()
    (lost,) = wait_until(lambda: stand.bed.events(job_id, "lost"), bool, seconds=5)
    assert time.monotonic() - killed < 5
    job = stand.bed.wait_for(job_id, seconds=40)
    assert job.state == JobState.SUCCEEDED
    again = [event for event in stand.bed.events(job_id, "claimed") if event["segment_id"] == lost["segment_id"]]
    assert (again[-1]["at"] - lost["at"]).total_seconds() < 20
    assert not done_twice(stand.bed.events(job_id))


def test_sigterm_gives_back_uncharged_and_exits_in_time(stand: Stand) -> None:
    worker = stand.worker(pipelines=SLOW)
    job_id = stand.bed.submit(make_clip(stand.folder / "clip.mp4", seconds=20.0), pipeline=SLOW, size_class="long")
    stand.ring("long")
    stand.bed.wait_for(job_id, lambda job: job.state == JobState.RUNNING, seconds=20)
    started = time.monotonic()
    assert worker.stop(30) == 0
    assert time.monotonic() - started < 25
    job = stand.bed.jobs.get(job_id)
    assert (job.state, job.attempts) == (JobState.QUEUED, 0)
    assert stand.bed.events(job_id, "given_back")


@pytest.mark.parametrize("rung_for", [True, False], ids=["rung for", "found while idle"])
def test_sigterm_to_a_child_alone_gives_back_uncharged_and_the_next_child_goes_on(stand: Stand, rung_for: bool) -> None:
    worker = stand.worker(pipelines=SLOW)
    if rung_for:
        stand.dispatcher()
    job_id = stand.bed.submit(make_clip(stand.folder / "clip.mp4", seconds=20.0), pipeline=SLOW, size_class="long")
    stand.bed.wait_for(job_id, lambda job: job.segments_total == 1, seconds=20)
    (child,) = worker.pool_children()
    os.kill(child, signal.SIGTERM)
    job = stand.bed.wait_for(job_id, seconds=60)
    assert (job.state, job.attempts) == (JobState.SUCCEEDED, 0)
    assert stand.bed.events(job_id, "given_back")
    assert not stand.bed.events(job_id, "lost")
    assert worker.pool_children() != [child]


def test_sigterm_takes_a_hung_childs_work_back_uncharged(stand: Stand) -> None:
    worker = stand.worker(pipelines=HANGS)
    job_id = stand.bed.submit(make_still(250), pipeline=HANGS)
    stand.ring()
    worker.wait_for_event("test.hangs", seconds=20)
    started = time.monotonic()
    worker.stop(30)
    assert 10 < time.monotonic() - started < 25
    job = stand.bed.jobs.get(job_id)
    assert (job.state, job.attempts) == (JobState.QUEUED, 0)
    assert worker.events("child.overdue")


def test_a_hang_is_ended_and_only_its_job_is_dead(stand: Stand) -> None:
    stand.worker(pipelines=HANGS, stall_seconds=2, concurrency=1)
    stand.dispatcher()
    bad = stand.bed.submit(make_still(250), pipeline=HANGS, max_attempts=2)
    good = [stand.bed.submit(make_still(level), pipeline=HANGS) for level in (10, 20, 30)]
    stand.ring(count=2)
    dead = stand.bed.wait_for(bad, seconds=60)
    assert dead.state == JobState.DEAD
    assert dead.error is not None
    assert dead.error["code"] == "worker.lost"
    assert "gave no sign of life for 0:00:02" in dead.error["message"]
    assert "slow_pipelines" in dead.error["stack"]
    for one in good:
        job = stand.bed.wait_for(one, seconds=30)
        assert (job.state, job.attempts) == (JobState.SUCCEEDED, 0)


def test_flushed_doorbells_are_rung_again(stand: Stand) -> None:
    job_ids = [stand.bed.submit(make_still(level)) for level in range(100)]
    stand.ring(count=3)
    with redis.Redis.from_url(stand.redis_url) as client:
        client.flushall()
    stand.worker()
    stand.dispatcher()
    for one in job_ids:
        assert stand.bed.wait_for(one, seconds=60).state == JobState.SUCCEEDED


def test_a_drained_worker_leaves_bells_and_work_to_others(stand: Stand) -> None:
    worker = stand.worker()
    (row,) = Fleet(stand.bed.database).list()
    assert Fleet(stand.bed.database).drain(row.id)
    worker.wait_for_event("worker.drained", seconds=15)
    job_id = stand.bed.submit(make_still())
    wait_until(lambda: rung(stand), lambda waiting: waiting > 0, seconds=10)
    assert stand.bed.jobs.get(job_id).state == JobState.QUEUED
    stand.worker()
    assert stand.bed.wait_for(job_id, seconds=20).state == JobState.SUCCEEDED


def rung(stand: Stand) -> int:
    """Ring, and say how many bells nobody heard."""
    stand.ring()
    with Bell(stand.redis_url) as bell:
        return bell.length("cpu-short")


def test_a_deaf_worker_starts_itself_again(stand: Stand) -> None:
    worker = stand.worker(idle_restart_seconds=1)
    app = Celery(broker=stand.redis_url, set_as_current=False)
    (answer,) = app.control.cancel_consumer("cpu-short", reply=True, limit=1, timeout=10)
    assert "ok" in str(answer)
    stand.ring()
    job_id = stand.bed.submit(make_still())
    assert stand.bed.wait_for(job_id, seconds=40).state == JobState.SUCCEEDED
    worker.wait_for_event("worker.is_deaf", seconds=40)
    worker.wait_for_event("worker.ready", 2)
    assert worker.popen.poll() is None
    app.close()


def test_work_goes_on_without_a_pause_while_redis_is_frozen(stand: Stand) -> None:
    worker = stand.worker(pipelines=SLOW, segment_seconds=0.02, shift_seconds=0.1)
    job_id = stand.bed.submit(make_clip(stand.folder / "clip.mp4", seconds=8.0), pipeline=SLOW, size_class="long")
    stand.ring("long")
    stand.bed.wait_for(job_id, lambda job: job.state == JobState.RUNNING, seconds=20)
    with frozen(stand.redis_server):
        assert stand.bed.wait_for(job_id, seconds=60).state == JobState.SUCCEEDED
    assert not done_twice(stand.bed.events(job_id))
    assert worker.popen.poll() is None
