"""Copies at once: by two dispatchers, of a job that is canceled, by one that stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from storage.job import JobState
from tests.fakes.http_source import Source
from tests.integration.ingest.bed import Bed, run
from tests.integration.processes import running
from tests.integration.queue_bed import open_objects, wait_until


@contextmanager
def held_answer(source: Source, path: str, body: bytes) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Send half of a body, tell ``begun``, and wait for ``go`` with the rest."""
    begun, go = threading.Event(), threading.Event()

    def handle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2])
        handler.wfile.flush()
        begun.set()
        go.wait(20)
        handler.wfile.write(body[len(body) // 2 :])

    source.routes[path] = handle
    try:
        yield begun, go
    finally:
        go.set()


def test_two_dispatchers_copy_an_input_once(bed: Bed, source: Source) -> None:
    one, two = bed.dispatcher(), bed.dispatcher()
    with held_answer(source, "/a", b"x" * 500_000) as (begun, go):
        job_id = bed.submit(source.url("/a"))
        one.run_pass()
        assert begun.wait(10)
        two.run_pass()
        assert two.wait(10)
        assert len(source.requests) == 1
        go.set()
        assert one.wait(10)
    assert bed.jobs.get(job_id).state is JobState.QUEUED


class NoLocks:
    """What is left when a dispatcher loses its connection and with it its locks."""

    @contextmanager
    def hold(self, name: str) -> Iterator[bool]:
        yield True


def test_two_copies_at_once_do_no_harm_and_one_is_attached(bed: Bed, source: Source) -> None:
    one, two = bed.dispatcher(locks=NoLocks()), bed.dispatcher(locks=NoLocks())
    with held_answer(source, "/a", b"x" * 500_000) as (begun, go):
        job_id = bed.submit(source.url("/a"))
        one.run_pass()
        assert begun.wait(10)
        # the second reads another version of the file, to the end, and attaches it
        source.answer("/a", 200, b"y" * 300_000)
        run(two)
        attached = bed.jobs.get(job_id)
        go.set()
        assert one.wait(10)
    job = bed.jobs.get(job_id)
    assert job.state is JobState.QUEUED
    assert job.input == attached.input
    assert bed.keys() == [job.input.key]
    assert job.input.key is not None
    assert bed.objects.stat(job.input.key).etag == job.input.etag
    assert len(bed.bell.rung) == 1


def test_a_job_canceled_during_the_copy_keeps_nothing(bed: Bed, source: Source) -> None:
    ingest = bed.dispatcher()
    with held_answer(source, "/a", b"x" * 500_000) as (begun, go):
        job_id = bed.submit(source.url("/a"))
        ingest.run_pass()
        assert begun.wait(10)
        bed.jobs.cancel(job_id)
        go.set()
        assert ingest.wait(10)
    assert bed.jobs.get(job_id).state is JobState.CANCELED
    assert bed.keys() == []
    assert bed.bell.rung == []


def test_a_long_copy_is_given_up_soon_after_its_job_is_canceled(
    bed: Bed, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.dispatcher.ingest.STILL_WANTED_SECONDS", 0.0)
    begun = threading.Event()

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not source.stopped.wait(0.01):
            handler.wfile.write(b"x" * 200)
            begun.set()

    source.routes["/endless"] = endless
    ingest = bed.dispatcher()
    job_id = bed.submit(source.url("/endless"))
    ingest.run_pass()
    assert begun.wait(10)
    bed.jobs.cancel(job_id)
    assert ingest.wait(10)
    assert bed.keys() == []


def test_closing_gives_a_copy_up_and_the_next_dispatcher_does_it(bed: Bed, source: Source) -> None:
    ingest = bed.dispatcher()
    with held_answer(source, "/a", b"x" * 900_000) as (begun, go):
        job_id = bed.submit(source.url("/a"))
        ingest.run_pass()
        assert begun.wait(10)
        ingest.close(0.0)
        go.set()
        assert ingest.wait(10)
    assert bed.jobs.get(job_id).state is JobState.UPLOADING
    assert bed.keys() == []
    ingest.run_pass()
    assert ingest.wait(0), "a closed duty began again"
    run(bed.dispatcher())
    assert bed.jobs.get(job_id).state is JobState.QUEUED


def test_no_more_copies_run_at_once_than_allowed_and_all_are_done(bed: Bed, source: Source) -> None:
    running, most, lock = [0], [0], threading.Lock()
    # each waits in the middle of its answer until as many are under way as may be; 30 is a multiple of 3
    all_three = threading.Barrier(3)

    def counted(handler: BaseHTTPRequestHandler) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"x" * 50)
        all_three.wait(20)
        with lock:
            running[0] -= 1
        handler.wfile.write(b"x" * 50)

    ids = []
    for number in range(30):
        source.routes[f"/{number}"] = counted
        ids.append(bed.submit(source.url(f"/{number}")))
    ingest = bed.dispatcher(concurrency=3)
    run(ingest)
    assert {bed.jobs.get(job_id).state for job_id in ids} == {JobState.QUEUED}
    assert most[0] == 3
    assert len(source.requests) == 30


def test_broken_sources_do_not_hold_up_the_jobs_behind_them(bed: Bed, source: Source) -> None:
    source.answer("/broken", 503)
    source.answer("/good", 200, b"x")
    for _ in range(6):
        bed.submit(source.url("/broken"))
    good = bed.submit(source.url("/good"))
    run(bed.dispatcher(concurrency=2))
    assert bed.jobs.get(good).state is JobState.QUEUED


def test_a_dispatcher_as_an_operator_starts_it_copies_inputs_in_and_stops_in_the_middle_of_one(
    bed: Bed, source: Source, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    source.answer("/a", 200, b"x" * 300_000)
    settings = {
        "database_url": database_url,
        "redis_url": redis_url,
        "alive_file": tmp_path / "alive",
        "ingest_private_hosts": f"127.0.0.1:{source.port}",
    }
    done, refused = bed.submit(source.url("/a")), bed.submit("http://127.0.0.1:1/")
    with (
        held_answer(source, "/held", b"x" * 500_000) as (begun, _),
        running("workers.dispatcher", tmp_path, **settings) as dispatcher,
    ):
        assert wait_until(lambda: bed.jobs.get(done).state, lambda state: state is JobState.QUEUED, seconds=60)
        assert wait_until(lambda: bed.jobs.get(refused).error, bool, seconds=10)["code"] == "input.refused"
        held = bed.submit(source.url("/held"))
        assert begun.wait(10)
        started = time.monotonic()
        assert dispatcher.stop() == 0
        assert time.monotonic() - started < 5
        assert not dispatcher.events("duty.failed", "duty.error", "ingest.error")
    key = bed.jobs.get(done).input.key
    assert key is not None
    with open_objects(tmp_path / "objects").open(key) as body:
        assert body.read() == b"x" * 300_000
    assert bed.jobs.get(held).state is JobState.UPLOADING
