"""Places we do not go to, sources that say no, and inputs over the limit end a job with a stable code."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler

import pytest

from storage.job import JobState
from tests.fakes.http_source import Source
from tests.integration.ingest.bed import LIMIT, Bed


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
