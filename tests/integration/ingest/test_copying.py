"""Remote inputs are copied in once their source gives them, however late."""

from __future__ import annotations

import hashlib
from http.server import BaseHTTPRequestHandler

import pytest
from sqlalchemy import text

from storage.database import Database
from storage.job import JobState
from tests.fakes.http_source import Source
from tests.fakes.memory_store import MemoryObjectStore
from tests.integration.ingest.bed import Bed, run


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
    assert bed.bell.rung == [("cpu", "long", 1)]
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
    assert bed.bell.rung == [("cpu", size_class, 1)]
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
