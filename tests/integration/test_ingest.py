"""Remote inputs: copied in once, attached once, or refused with a stable code."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import boto3
import pytest
from sqlalchemy import text

from storage.database import Database
from storage.ids import new_id
from storage.job import InputRef, Job, JobState
from storage.jobs import JobStore
from storage.new_job import NewJob
from storage.objects.foreign import ForeignBuckets
from storage.objects.local import LocalObjectStore
from storage.objects.port import ObjectStore
from storage.objects.s3_access import S3Access
from storage.session_locks import SessionLocks
from tests.fakes.http_source import Source, http_source
from tests.fakes.memory_store import MemoryObjectStore
from tests.fakes.s3_server import s3_server
from tests.integration.processes import running
from tests.integration.queue_bed import open_objects, wait_until
from workers.dispatcher.ingest import Ingest
from workers.dispatcher.sources import BucketRule, RemoteSources
from workers.fetch_url import FetchRules, UrlFetcher

KIB = 1024
LIMIT = 1000 * KIB


class Rings:
    """A doorbell that remembers."""

    def __init__(self) -> None:
        self.rung: list[tuple[str, str]] = []

    def ring(self, lane: str, size_class: str, count: int = 1) -> None:
        self.rung.append((lane, size_class))


class Bed:
    """A queue, a store, a source, and as many dispatchers as a test wants."""

    def __init__(self, database: Database, database_url: str, objects: ObjectStore, source: Source) -> None:
        self.database = database
        self.jobs = JobStore(database)
        self.objects = objects
        self.source = source
        self.rings = Rings()
        self.told: list[str] = []
        self.rules = FetchRules(
            max_bytes=LIMIT, private_hosts=frozenset({f"127.0.0.1:{source.port}"}), stall_seconds=2, connect_seconds=2
        )
        self._url = database_url
        self._open = ExitStack()

    def dispatcher(self, **changes: Any) -> Ingest:
        """A dispatcher's duty, with locks of its own, as another process has them."""
        locks = SessionLocks(self._url)
        self._open.callback(locks.close)
        given: dict[str, Any] = {
            "jobs": self.jobs,
            "objects": self.objects,
            "sources": RemoteSources(UrlFetcher(self.rules)),
            "doorbell": self.rings,
            "locks": locks,
            "max_bytes": LIMIT,
            "tell": self.told.append,
        } | changes
        ingest = Ingest(given.pop("jobs"), given.pop("objects"), given.pop("sources"), given.pop("doorbell"), **given)
        self._open.callback(ingest.close, 5.0)
        return ingest

    def submit(self, url: str, *, tenant: str = "t", **input_: Any) -> str:
        job_id = new_id()
        self.jobs.create(
            NewJob(
                id=job_id,
                tenant=tenant,
                pipeline="motion",
                spec_version=1,
                params={},
                batch_key="k",
                lane="cpu",
                size_class="long",
                input=InputRef(source_url=url, **input_),
                fingerprint=job_id,
                state=JobState.UPLOADING,
            )
        )
        return job_id

    def settled(self, url: str, *, ingest: Ingest | None = None, **input_: Any) -> Job:
        """Submit, run one pass and return what became of the job."""
        job_id = self.submit(url, **input_)
        run(ingest or self.dispatcher())
        return self.jobs.get(job_id)

    def keys(self) -> list[str]:
        return [item.key for item in self.objects.list("")]

    def age(self, job_id: str, seconds: float) -> None:
        with self.database.transaction() as connection:
            connection.execute(
                text("UPDATE jobs SET updated_at = updated_at - make_interval(secs => :s) WHERE id = :id"),
                {"s": seconds, "id": job_id},
            )

    def close(self) -> None:
        self._open.close()


def run(*dispatchers: Ingest) -> None:
    for ingest in dispatchers:
        ingest.run_pass()
    for ingest in dispatchers:
        assert ingest.wait(30)


@pytest.fixture
def source() -> Iterator[Source]:
    with http_source() as running:
        yield running


@pytest.fixture
def bed(database: Database, database_url: str, local_store: LocalObjectStore, source: Source) -> Iterator[Bed]:
    made = Bed(database, database_url, local_store, source)
    yield made
    made.close()


def test_a_url_becomes_a_queued_job_whose_input_lies_in_our_store(bed: Bed, source: Source) -> None:
    data = b"\0clip" * 40_000
    source.answer("/a/clip.mp4", 200, data, Content_Type="video/mp4")
    job = bed.settled(source.url("/a/clip.mp4"))
    assert job.state is JobState.QUEUED
    assert job.input.key is not None
    assert job.input.key.startswith(f"inputs/{job.id}/")
    with bed.objects.open(job.input.key) as body:
        assert body.read() == data
    assert job.input.sha256 == hashlib.sha256(data).hexdigest()
    assert job.input.etag == bed.objects.stat(job.input.key).etag
    assert (job.input.size_bytes, job.input.filename, job.input.content_type) == (200_000, "clip.mp4", "video/mp4")
    assert bed.rings.rung == [("cpu", "long")]
    assert bed.told == [job.id]


@pytest.mark.parametrize(
    ("head", "size_class"),
    [
        (b"\xff\xd8\xff\xe0", "short"), (b"\x89PNG\r\n\x1a\n", "short"), (b"GIF89a", "long"),
        (b"\x1a\x45\xdf\xa3", "long"), (b"0.1,0.2", "long"),
    ],
)  # fmt: skip
def test_a_still_goes_to_the_queue_where_stills_run_together(
    bed: Bed, source: Source, head: bytes, size_class: str
) -> None:
    source.answer("/a", 200, head + bytes(100_000))
    job = bed.settled(source.url("/a"))
    assert (job.state, job.size_class) == (JobState.QUEUED, size_class)
    assert bed.rings.rung == [("cpu", size_class)]
    with bed.database.transaction() as connection:
        assert connection.execute(text("SELECT size_class FROM segments")).scalars().all() == [size_class]


def test_a_flood_of_one_tenant_hides_nobodys_input(bed: Bed) -> None:
    # age is the id's, and ids of one millisecond have no order but their own
    flood = sorted(bed.submit("http://127.0.0.1:9/a", tenant="many") for _ in range(30))
    others = [bed.submit("http://127.0.0.1:9/a", tenant=tenant) for tenant in ("few", "last")]
    looked_at = [job.id for job in bed.jobs.uploading(6)]
    assert looked_at == [*sorted([flood[0], *others]), *flood[1:4]]
    assert len(bed.jobs.uploading(100)) == 32


def test_what_the_client_said_of_its_file_goes_before_what_the_source_says(bed: Bed, source: Source) -> None:
    source.answer("/x", 200, b"x", Content_Type="application/octet-stream")
    job = bed.settled(source.url("/x"), filename="holiday.mp4", content_type="video/mp4")
    assert (job.input.filename, job.input.content_type) == ("holiday.mp4", "video/mp4")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://169.254.169.254/latest/meta-data/", "input.refused"),
        ("http://localhost/", "input.refused"),
        ("ftp://example.com/a", "input.refused"),
        ("http://user:secret@example.com/a", "input.refused"),
        ("file:///etc/passwd", "input.refused"),
        ("s3://bucket/key", "input.refused"),
        ("s3://", "input.refused"),
        ("not a url", "input.refused"),
    ],
)
def test_a_place_we_do_not_go_to_fails_the_job_at_once(bed: Bed, url: str, code: str) -> None:
    job = bed.settled(url)
    assert (job.state, job.terminal) == (JobState.FAILED, True)
    assert job.error is not None
    assert (job.error["code"], job.error["stage"]) == (code, "ingest")
    assert job.error["advice"]
    assert "secret" not in str(job.error)
    assert bed.keys() == []


@pytest.mark.parametrize(
    ("status", "code"), [(404, "input.gone"), (410, "input.gone"), (403, "input.refused"), (401, "input.refused")]
)
def test_a_source_that_says_no_fails_the_job_after_one_request(
    bed: Bed, source: Source, status: int, code: str
) -> None:
    source.answer("/a", status)
    job = bed.settled(source.url("/a"))
    assert job.error is not None
    assert (job.state, job.error["code"]) == (JobState.FAILED, code)
    assert len(source.requests) == 1


@pytest.mark.parametrize("declared", [True, False])
def test_an_input_over_the_limit_fails_the_job_and_leaves_nothing(bed: Bed, source: Source, declared: bool) -> None:
    body = b"x" * (LIMIT + 1)

    def undeclared(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(body)

    source.answer("/big", 200, body)
    if not declared:
        source.routes["/big"] = undeclared
    job = bed.settled(source.url("/big"))
    assert job.error is not None
    assert (job.state, job.error["code"]) == (JobState.FAILED, "media.too_large")
    assert bed.keys() == []


def failing_first(source: Source, path: str, times: int, body: bytes) -> None:
    """Break the connection in the middle of the first answers."""
    left = [None] * times

    def handle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2] if left else body)
        if left:
            left.pop()

    source.routes[path] = handle


def test_a_passing_fault_is_retried_within_the_pass(bed: Bed, source: Source) -> None:
    failing_first(source, "/a", 2, b"x" * 1000)
    job = bed.settled(source.url("/a"))
    assert job.state is JobState.QUEUED
    assert len(source.requests) == 3
    assert bed.keys() == [job.input.key]


def test_a_longer_fault_waits_for_a_later_pass_and_then_for_patience_to_end(bed: Bed, source: Source) -> None:
    source.answer("/a", 503)
    ingest = bed.dispatcher(patience_seconds=60)
    job_id = bed.submit(source.url("/a"))
    run(ingest)
    assert bed.jobs.get(job_id).state is JobState.UPLOADING
    asked = len(source.requests)
    run(ingest)
    assert len(source.requests) == asked, "it was asked again without a pause"
    bed.age(job_id, 61)
    run(bed.dispatcher(patience_seconds=60))
    job = bed.jobs.get(job_id)
    assert job.error is not None
    assert (job.state, job.error["code"]) == (JobState.FAILED, "input.unreachable")


def test_a_job_replayed_after_its_source_came_back_is_copied(bed: Bed, source: Source) -> None:
    job = bed.settled(source.url("/late"))
    assert job.error is not None
    assert job.error["code"] == "input.gone"
    source.answer("/late", 200, b"here now")
    bed.jobs.replay(job.id)
    run(bed.dispatcher())
    again = bed.jobs.get(job.id)
    assert (again.state, again.run) == (JobState.QUEUED, 2)


def test_our_own_store_being_down_charges_nobody(database: Database, database_url: str, source: Source) -> None:
    store = MemoryObjectStore()
    bed = Bed(database, database_url, store, source)
    source.answer("/a", 200, b"x")
    job_id = bed.submit(source.url("/a"))
    store.down = True
    run(bed.dispatcher(patience_seconds=0))
    assert bed.jobs.get(job_id).state is JobState.UPLOADING
    store.down = False
    run(bed.dispatcher())
    assert bed.jobs.get(job_id).state is JobState.QUEUED
    store.down = True
    other = bed.submit(source.url("/a"))
    bed.age(other, 25 * 3600)
    run(bed.dispatcher())
    error = bed.jobs.get(other).error
    assert error is not None
    assert error["code"] == "storage.unavailable"
    bed.close()


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
    assert len(bed.rings.rung) == 1


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
    assert bed.rings.rung == []


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

    def counted(handler: BaseHTTPRequestHandler) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"x" * 50)
        time.sleep(0.02)
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
    assert 2 <= most[0] <= 3
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


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with s3_server() as url:
        yield url


class Buckets:
    """A foreign bucket with one object, and sources that may read it."""

    def __init__(self, url: str, rules: FetchRules) -> None:
        self.client = boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        self.client.create_bucket(Bucket="archive")
        self.client.put_object(Bucket="archive", Key="2026/a b.mp4", Body=b"x" * 3000, ContentType="video/mp4")
        self._foreign = ForeignBuckets(S3Access(endpoint_url=url, access_key="test", secret_key="test"))
        self._fetcher = UrlFetcher(rules)

    def allowing(self, *rules: str, own: str | None = None) -> RemoteSources:
        return RemoteSources(
            self._fetcher, self._foreign, buckets=[BucketRule.parse(rule) for rule in rules], own_bucket=own
        )


@pytest.fixture
def buckets(s3_url: str, bed: Bed) -> Buckets:
    return Buckets(s3_url, bed.rules)


def test_an_object_of_a_listed_bucket_is_copied_in(bed: Bed, buckets: Buckets) -> None:
    ingest = bed.dispatcher(sources=buckets.allowing("archive"))
    job = bed.settled("s3://archive/2026/a b.mp4", ingest=ingest)
    assert job.state is JobState.QUEUED
    assert (job.input.size_bytes, job.input.filename, job.input.content_type) == (3000, "a b.mp4", "video/mp4")
    assert job.input.sha256 == hashlib.sha256(b"x" * 3000).hexdigest()


@pytest.mark.parametrize(
    ("allowed", "own", "allowed_to_t"),
    [
        (["archive"], None, True),
        (["t=archive"], None, True),
        (["archive/2026/"], None, True),
        (["other", "t=archive/20"], None, True),
        ([], None, False),
        (["archive"], "archive", False),
        (["other=archive"], None, False),
        (["archive/2025/"], None, False),
        (["archiv"], None, False),
    ],
)
def test_only_listed_buckets_are_read_and_never_our_own(
    bed: Bed, buckets: Buckets, allowed: list[str], own: str | None, allowed_to_t: bool
) -> None:
    ingest = bed.dispatcher(sources=buckets.allowing(*allowed, own=own))
    job = bed.settled("s3://archive/2026/a b.mp4", ingest=ingest)
    assert job.state is (JobState.QUEUED if allowed_to_t else JobState.FAILED)
    assert allowed_to_t or (job.error is not None and job.error["code"] == "input.refused")


@pytest.mark.parametrize(
    ("url", "code"), [("s3://archive/nothing", "input.gone"), ("s3://missing-bucket/x", "input.gone")]
)
def test_an_object_that_is_not_there_is_gone(bed: Bed, buckets: Buckets, url: str, code: str) -> None:
    job = bed.settled(url, ingest=bed.dispatcher(sources=buckets.allowing("archive", "missing-bucket")))
    assert job.error is not None
    assert (job.state, job.error["code"]) == (JobState.FAILED, code)


def test_an_object_over_the_limit_is_refused_before_it_is_read(bed: Bed, s3_url: str) -> None:
    small = Buckets(s3_url, replace(bed.rules, max_bytes=2999))
    job = bed.settled("s3://archive/2026/a b.mp4", ingest=bed.dispatcher(sources=small.allowing("archive")))
    assert job.error is not None
    assert job.error["code"] == "media.too_large"


def test_a_foreign_server_that_is_down_is_waited_for(bed: Bed) -> None:
    foreign = ForeignBuckets(S3Access(endpoint_url="http://127.0.0.1:9", access_key="a", secret_key="b"))
    sources = RemoteSources(UrlFetcher(bed.rules), foreign, buckets=[BucketRule("archive", "", None)])
    job = bed.settled("s3://archive/x", ingest=bed.dispatcher(sources=sources))
    assert job.state is JobState.UPLOADING
