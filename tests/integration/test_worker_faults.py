"""What a worker does while others are away, and what a poisonous input costs: on real processes, with real faults."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from sqlalchemy.engine import make_url

from bench.faults.proxy import Mode, Proxy
from deploy.local.redis import EmbeddedRedis
from storage.job import JobState
from storage.objects.s3 import S3ObjectStore
from storage.objects.s3_access import S3Access
from storage.objects.s3_clients import S3Clients
from tests import services
from tests.fakes.s3_server import s3_server
from tests.integration.processes import Program
from tests.integration.queue_bed import Bed, done_twice, make_clip, make_still, wait_until
from tests.integration.stand import HANGS, SLOW, Stand
from workers.hints import CANCELS, Hints

WEDGED = "tests.fakes.slow_pipelines:WedgedWhenBright"
CRASHES = "tests.fakes.slow_pipelines:CrashesWhenBright"
STALL_SECONDS = 3.0


@pytest.mark.parametrize(("pipeline", "place"), [(HANGS, "infer"), (WEDGED, "wait_for_nobody")])
def test_a_process_that_stands_still_is_ended_within_its_allowance_and_five_seconds_and_shows_where_it_stood(
    stand: Stand, pipeline: str, place: str
) -> None:
    worker = stand.worker(pipelines=pipeline, stall_seconds=STALL_SECONDS)
    job_id = stand.bed.submit(make_still(250), pipeline=pipeline, max_attempts=1)
    stand.ring()
    worker.wait_for_event("test.hangs", seconds=20)
    began = time.monotonic()
    job = stand.bed.wait_for(job_id, seconds=20)
    assert time.monotonic() - began < STALL_SECONDS + 5
    assert job.state == JobState.DEAD
    assert job.error is not None
    assert job.error["code"] == "worker.lost"
    assert job.error["stack"].splitlines()[-1].endswith(f"in {place}")
    assert job.error["worker"]


def test_a_crash_in_native_code_costs_its_own_job_alone_and_shows_where(stand: Stand) -> None:
    stand.worker(pipelines=CRASHES, claim_size=32, batch_size=32)
    bad = stand.bed.submit(make_still(250), pipeline=CRASHES, max_attempts=2)
    good = [stand.bed.submit(make_still(level), pipeline=CRASHES) for level in range(31)]
    for one in good:
        job = stand.bed.wait_for(one, seconds=120)
        assert (job.state, job.attempts) == (JobState.SUCCEEDED, 0)
    dead = stand.bed.wait_for(bad, seconds=60)
    assert dead.error is not None
    assert (dead.state, dead.attempts) == (JobState.DEAD, 2)
    assert dead.error["message"] == "the worker process crashed: Segmentation fault"
    assert "slow_pipelines" in dead.error["stack"]
    assert len(stand.bed.events(bad, "lost")) == 2, "once in company, once alone; then it was buried"


def test_work_is_done_although_no_bell_ever_rings(stand: Stand) -> None:
    stand.worker()
    job_ids = [stand.bed.submit(make_still(level)) for level in range(20)]
    began = time.monotonic()
    for one in job_ids:
        assert stand.bed.wait_for(one, seconds=15).state == JobState.SUCCEEDED
    assert time.monotonic() - began < 15


def test_an_idle_child_looks_for_work_while_its_sibling_is_busy_and_no_bell_rings(stand: Stand) -> None:
    stand.worker(pipelines=SLOW, concurrency=2)
    clip = make_clip(stand.folder / "clip.mp4", seconds=60.0)
    long = stand.bed.submit(clip, pipeline=SLOW, params={"sampler": {"stride": 1}}, size_class="long")
    stand.ring("long")
    stand.bed.wait_for(long, lambda job: job.segments_total == 1, seconds=20)
    still = stand.bed.submit(make_still(), pipeline=SLOW)
    assert stand.bed.wait_for(still, seconds=15).state == JobState.SUCCEEDED
    assert not stand.bed.jobs.get(long).terminal


@contextmanager
def own_redis() -> Iterator[EmbeddedRedis]:
    with services.running_redis() as server:
        yield server


def test_idle_workers_go_on_while_redis_is_dead_and_hear_bells_again_when_it_is_back(stand: Stand) -> None:
    with own_redis() as server:
        stand.redis_url = server.url()
        worker = stand.worker(redis_url=server.url())
        os.kill(server.child.pid, signal.SIGSTOP)
        frozen = [stand.bed.submit(make_still(level)) for level in range(5)]
        for one in frozen:
            assert stand.bed.wait_for(one, seconds=15).state == JobState.SUCCEEDED
        os.kill(server.child.pid, signal.SIGCONT)
        back = stand.bed.submit(make_still(77))
        stand.ring()
        assert stand.bed.wait_for(back, seconds=10).state == JobState.SUCCEEDED
        os.kill(server.child.pid, signal.SIGKILL)
        dead = [stand.bed.submit(make_still(level)) for level in range(5)]
        for one in dead:
            assert stand.bed.wait_for(one, seconds=15).state == JobState.SUCCEEDED
        assert worker.popen.poll() is None


def test_a_canceled_job_is_left_before_the_next_heartbeat_where_redis_is_there(stand: Stand) -> None:
    worker = stand.worker(pipelines=SLOW)
    job_id = stand.bed.submit(make_clip(stand.folder / "clip.mp4", seconds=60.0), pipeline=SLOW, size_class="long")
    stand.ring("long")
    stand.bed.wait_for(job_id, lambda job: job.state == JobState.RUNNING and job.segments_total > 0, seconds=30)
    cancels = Hints(stand.redis_url, stream=CANCELS)
    try:
        began = time.monotonic()
        assert stand.bed.jobs.cancel(job_id, "test")[1]
        cancels.tell(job_id)
        worker.wait_for_event("claim.lost", seconds=10)
        assert time.monotonic() - began < 3.0, "the next heartbeat would have been up to 5 s away"
    finally:
        cancels.close()


class StoreBed:
    """A bed over an S3 server behind a proxy; the test itself goes past the proxy."""

    def __init__(self, stand: Stand, url: str, proxy: Proxy) -> None:
        access = S3Access(endpoint_url=url, access_key="test", secret_key="test-secret")
        S3Clients(access).quick.create_bucket(Bucket="bucket")
        self.bed = Bed(stand.bed.database, S3ObjectStore("bucket", access))
        self.door = proxy.door("worker")
        self.settings = {
            "store": "s3://bucket",
            "s3_endpoint_url": self.door.url,
            "s3_access_key": "test",
            "s3_secret_key": "test-secret",
        }


@pytest.mark.parametrize("outage", [Mode.REFUSE, Mode.FREEZE])
def test_a_store_that_is_away_is_left_alone_charges_nobody_and_everything_is_drained_soon_after(
    stand: Stand, outage: Mode
) -> None:
    with s3_server() as url, Proxy(urlsplit(url).port or 0) as proxy:
        there = StoreBed(stand, url, proxy)
        stand.worker(**there.settings)
        stand.dispatcher(**there.settings)
        first = there.bed.submit(make_still())
        assert there.bed.wait_for(first, seconds=20).state == JobState.SUCCEEDED
        proxy.turn(outage)
        jobs = [there.bed.submit(make_still(level)) for level in range(60)]
        began = time.monotonic()
        wait_until(time.monotonic, lambda now: now - began >= 20, seconds=30)
        assert there.door.asked(began) <= 2 * (time.monotonic() - began)
        proxy.turn(Mode.PASS)
        back = time.monotonic()
        for one in jobs:
            job = there.bed.wait_for(one, seconds=60)
            assert (job.state, job.attempts) == (JobState.SUCCEEDED, 0)
        assert time.monotonic() - back < 60
        assert sum(len(there.bed.events(one, "held_up")) for one in jobs) < 30, "most were never claimed in vain"


def stopped_in(worker: Program) -> float:
    began = time.monotonic()
    worker.stop(40)
    return time.monotonic() - began


def test_a_stop_while_postgresql_is_frozen_ends_in_time(stand: Stand, database_url: str) -> None:
    place = make_url(database_url)
    with Proxy(place.port or 5432) as proxy:
        behind = place.set(host="127.0.0.1", port=proxy.door("worker").port)
        worker = stand.worker(pipelines=SLOW, database_url=behind.render_as_string(hide_password=False))
        clip = make_clip(stand.folder / "clip.mp4", seconds=60.0)
        job_id = stand.bed.submit(clip, pipeline=SLOW, size_class="long")
        stand.ring("long")
        stand.bed.wait_for(job_id, lambda job: job.segments_total > 0, seconds=30)
        proxy.turn(Mode.FREEZE)
        assert stopped_in(worker) < 25
        proxy.turn(Mode.PASS)
    job = stand.bed.jobs.get(job_id)
    assert (job.attempts, done_twice(stand.bed.events(job_id))) == (0, [])


def test_a_stop_while_the_store_is_frozen_ends_in_time_and_charges_nobody(stand: Stand) -> None:
    with s3_server() as url, Proxy(urlsplit(url).port or 0) as proxy:
        there = StoreBed(stand, url, proxy)
        worker = stand.worker(**there.settings)
        job_ids = [there.bed.submit(make_still(level)) for level in range(8)]
        proxy.turn(Mode.FREEZE)
        stand.ring()
        worker.wait_for_event("segment.claimed", seconds=20)
        assert stopped_in(worker) < 25
        proxy.turn(Mode.PASS)
    assert {there.bed.jobs.get(one).attempts for one in job_ids} == {0}
    assert {there.bed.jobs.get(one).state for one in job_ids} == {JobState.QUEUED}


def test_a_stop_while_a_model_is_loaded_ends_in_time_and_charges_nobody(stand: Stand) -> None:
    loads = "tests.fakes.slow_pipelines:LoadsForever"
    worker = stand.worker(pipelines=loads)
    job_ids = [stand.bed.submit(make_still(level), pipeline=loads) for level in range(4)]
    stand.ring()
    worker.wait_for_event("test.loads", seconds=20)
    assert stopped_in(worker) < 25
    assert {stand.bed.jobs.get(one).attempts for one in job_ids} == {0}
    assert {stand.bed.jobs.get(one).state for one in job_ids} == {JobState.QUEUED}
