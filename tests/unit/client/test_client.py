from __future__ import annotations

import json
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import framequeue
import httpx2
import pytest
from framequeue import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    InvalidError,
    JobFailedError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    WaitTimeoutError,
)

from tests.unit.client.fake_api import FakeApi, answer, job


def form_of(api: FakeApi, index: int = 0) -> list[tuple[str, bytes]]:
    """The parts of a multipart body, in order."""
    head = b"Content-Type: " + api.requests[index].headers["content-type"].encode() + b"\r\n\r\n"
    parts = BytesParser().parsebytes(head + api.bodies[index]).get_payload()
    return [(part.get_param("name", header="content-disposition"), part.get_payload(decode=True)) for part in parts]


def test_a_small_file_goes_as_a_form_with_its_fields_before_it(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"moving pictures")
    api = FakeApi(answer(202, job()))
    with api.client() as client:
        made = client.submit(clip, "motion", {"sampler": {"stride": 2}}, priority="high", metadata={"site": "a"})
    assert made.state == "queued"
    request = api.requests[0]
    assert (request.method, request.url.path) == ("POST", "/v1/jobs")
    assert request.headers["authorization"] == "Bearer fq_key"
    fields = form_of(api)
    assert [name for name, _ in fields][-1] == "file"
    assert dict(fields) == {
        "pipeline": b"motion",
        "params": b'{"sampler": {"stride": 2}}',
        "priority": b"high",
        "metadata": b'{"site": "a"}',
        "file": b"moving pictures",
    }


def test_bytes_and_addresses_can_be_submitted_too() -> None:
    api = FakeApi(answer(202, job()))
    with api.client() as client:
        client.submit(b"\x89PNG", "motion", filename="still.png")
        client.submit("https://cdn.example/clip.mp4", "motion", metadata={"k": 1})
        client.submit("s3://bucket/key.mp4", "motion")
    assert b'filename="still.png"' in api.bodies[0]
    assert json.loads(api.bodies[1]) == {
        "pipeline": "motion",
        "metadata": {"k": 1},
        "input": {"url": "https://cdn.example/clip.mp4"},
    }
    assert json.loads(api.bodies[2])["input"] == {"object": "s3://bucket/key.mp4"}


def test_a_repeated_submission_sends_the_whole_file_again_under_the_same_key(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(bytes(range(256)) * 1000)
    api = FakeApi(answer(503), httpx2.ReadError("cut off"), answer(202, job()))
    told: list[int] = []
    with api.client() as client:
        client.submit(clip, "motion", on_progress=lambda sent, total: told.append(sent))
    keys = {request.headers["idempotency-key"] for request in api.requests}
    assert len(api.requests) == 3
    assert len(keys) == 1
    assert [dict(form_of(api, index))["file"] for index in range(3)] == [clip.read_bytes()] * 3
    assert told[-1] == 256_000
    assert max(told) == 256_000


def test_two_submissions_have_different_keys_unless_one_is_given() -> None:
    api = FakeApi(answer(202, job()))
    with api.client() as client:
        client.submit(b"x", "motion")
        client.submit(b"x", "motion")
        client.submit(b"x", "motion", idempotency_key="mine")
    first, second, third = (request.headers["idempotency-key"] for request in api.requests)
    assert first != second
    assert third == "mine"


@pytest.mark.parametrize(("name", "content"), [("missing.mp4", None), ("empty.mp4", b"")])
def test_a_file_that_cannot_be_sent_is_refused_before_anything_is(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    api = FakeApi(answer(202, job()))
    with api.client() as client, pytest.raises(ConfigurationError) as caught:
        client.submit(path, "motion")
    assert caught.value.code.startswith("file.")
    assert api.requests == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidError), (401, AuthenticationError), (403, PermissionDeniedError), (404, NotFoundError),
        (409, ConflictError), (410, NotFoundError), (413, InvalidError), (415, InvalidError), (422, InvalidError),
        (429, RateLimitError), (500, ServerError), (503, ServerError),
    ],
)  # fmt: skip
def test_each_refusal_has_its_error_with_code_advice_and_request_id(status: int, kind: type[APIError]) -> None:
    document = {"code": "some.fault", "title": "No", "detail": "because", "advice": "do this", "request_id": "r-1"}
    api = FakeApi(answer(status, document))
    with api.client(max_retries=0) as client, pytest.raises(APIError) as caught:
        client.get("x")
    error = caught.value
    assert type(error) is kind
    assert (error.code, error.advice, error.request_id, str(error)) == ("some.fault", "do this", "r-1", "No: because")


def test_faults_of_a_request_are_named_in_the_error() -> None:
    faults = [{"path": "/params/sampler/stride", "message": "0 is less than 1"}, {"path": "/priority", "message": "no"}]
    api = FakeApi(answer(422, {"code": "params.invalid", "title": "Wrong", "detail": "see faults", "faults": faults}))
    with api.client() as client, pytest.raises(InvalidError) as caught:
        client.submit(b"x", "motion")
    assert str(caught.value) == "Wrong: /params/sampler/stride: 0 is less than 1; /priority: no"
    assert caught.value.faults == faults


def test_a_refusal_that_is_no_problem_document_is_understood_too() -> None:
    api = FakeApi(httpx2.Response(502, text="<html>Bad Gateway</html>", headers={"x-request-id": "r-9"}))
    with api.client(max_retries=0) as client, pytest.raises(ServerError) as caught:
        client.get("x")
    assert (caught.value.code, caught.value.request_id) == ("http.502", "r-9")


def test_an_answer_that_is_not_ours_is_told_apart_from_a_job() -> None:
    api = FakeApi(httpx2.Response(200, text="<html>Welcome to nginx</html>"))
    with api.client() as client, pytest.raises(APIError) as caught:
        client.get("x")
    assert caught.value.code == "answer.malformed"


def test_retry_after_is_waited_for_and_a_too_long_one_is_handed_to_the_caller() -> None:
    api = FakeApi(answer(429, retry_after="7"), answer(200, job()))
    with api.client() as client:
        client.get("x")
        assert 7.0 <= api.pauses[0] < 7.5
        api.answers = [answer(429, retry_after="3600")]
        with pytest.raises(RateLimitError) as caught:
            client.get("x")
    assert caught.value.retry_after_seconds == 3600
    assert len(api.pauses) == 1


def test_a_call_that_must_not_happen_twice_is_not_repeated_when_it_may_have_happened() -> None:
    api = FakeApi(httpx2.ReadTimeout("no answer"))
    with api.client() as client:
        with pytest.raises(APIConnectionError) as caught:
            client.replay("x")
        assert caught.value.code == "connection.timed_out"
        assert len(api.requests) == 1
        api.answers = [httpx2.ConnectError("refused"), answer(202, job())]
        assert client.replay("x").state == "queued"


def test_without_an_answer_the_error_names_the_address_and_not_the_key() -> None:
    api = FakeApi(httpx2.ConnectError("refused"))
    with api.client() as client, pytest.raises(APIConnectionError) as caught:
        client.get("x")
    assert len(api.requests) == 3
    assert "http://api.test" in str(caught.value)
    assert "fq_key" not in str(caught.value)


def test_waiting_goes_on_over_a_restart_of_the_server_and_ends_with_the_job() -> None:
    api = FakeApi(
        answer(200, job("running")), httpx2.ConnectError("down"), httpx2.ConnectError("down"),
        httpx2.ConnectError("down"), answer(503), answer(503), answer(503), answer(200, job("succeeded")),
    )  # fmt: skip
    with api.client() as client:
        assert client.wait("0190").ok


def test_a_watched_job_is_asked_for_by_its_version_and_told_once_for_each_change() -> None:
    api = FakeApi(
        answer(200, job("queued"), etag='W/"1"'),
        httpx2.Response(304),
        answer(200, job("running", progress=0.5), etag='W/"2"'),
        answer(200, job("succeeded"), etag='W/"3"'),
    )
    seen: list[tuple[str, float]] = []
    with api.client() as client:
        client.wait("0190", on_update=lambda found: seen.append((found.state, found.progress)))
    assert seen == [("queued", 0.0), ("running", 0.5), ("succeeded", 0.0)]
    versions = [request.headers.get("if-none-match") for request in api.requests]
    assert versions == [None, 'W/"1"', 'W/"1"', 'W/"2"']


def test_a_server_that_would_not_hold_the_poll_is_not_asked_again_at_once() -> None:
    api = FakeApi(answer(200, job("queued"), retry_after="4"), answer(200, job("succeeded")))
    with api.client() as client:
        client.wait("0190")
    assert api.pauses == [4.0]


def test_waiting_has_an_end_when_one_is_asked_for() -> None:
    api = FakeApi(answer(200, job("running")))
    with api.client() as client, pytest.raises(WaitTimeoutError) as caught:
        client.wait("0190", timeout=0)
    assert caught.value.job.state == "running"


@pytest.mark.parametrize("state", ["failed", "dead", "canceled"])
def test_a_job_that_did_not_succeed_is_raised_unless_the_caller_looks_for_itself(state: str) -> None:
    fault = {"code": "media.undecodable", "message": "no video in it", "advice": "send another"}
    api = FakeApi(answer(200, job(state, error=fault)))
    with api.client() as client:
        with pytest.raises(JobFailedError, match="no video in it") as caught:
            client.wait("0190")
        assert client.wait("0190", check=False).state == state
    assert (caught.value.code, caught.value.advice) == ("media.undecodable", "send another")
    assert caught.value.job.state == state


def test_rows_come_page_by_page_and_end_where_a_running_job_has_no_more() -> None:
    pages = [
        answer(
            200, {"frames": [{"index": 0, "pts_seconds": 0.0, "boxes": [1]}], "next_cursor": "a", "complete": False}
        ),
        answer(200, {"frames": [{"index": 5}], "next_cursor": "b", "complete": False}),
        answer(200, {"frames": [], "next_cursor": "b", "complete": False}),
    ]
    api = FakeApi(*pages)
    with api.client() as client:
        rows = list(client.frames("0190", from_seconds=1.5))
    assert [row.index for row in rows] == [0, 5]
    assert rows[0]["boxes"] == [1]
    assert [request.url.params.get("cursor") for request in api.requests] == [None, "a", "b"]
    assert api.requests[0].url.params["from"] == "1.5"


def test_listing_fetches_pages_only_as_they_are_needed() -> None:
    api = FakeApi(
        answer(200, {"jobs": [job(id="1"), job(id="2")], "next_cursor": "c"}),
        answer(200, {"jobs": [job(id="3")], "next_cursor": None}),
    )
    with api.client() as client:
        found = client.list(state="queued", metadata={"site": "a"})
        assert next(found).id == "1"
        assert len(api.requests) == 1
        assert [item.id for item in found] == ["2", "3"]
    assert api.requests[0].url.params["metadata.site"] == "a"


def test_a_document_of_a_newer_server_is_read_and_kept_whole() -> None:
    raw: dict[str, Any] = job(
        "pondering", terminal=False, aura="blue", progress=None, warnings=[7], error="odd", times=3
    )
    api = FakeApi(answer(200, raw))
    with api.client() as client:
        found = client.get("0190")
    assert (found.state, found.terminal, found.progress, found.error) == ("pondering", False, 0.0, None)
    assert found.raw["aura"] == "blue"


def test_a_result_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"
    target.write_text("old")

    def broken(request: httpx2.Request) -> httpx2.Response:
        def body() -> Any:
            yield b"half"
            raise httpx2.ReadError("cut off")

        return httpx2.Response(200, content=body())

    api = FakeApi(broken)
    with api.client() as client:
        with pytest.raises(APIConnectionError):
            client.save_result("0190", target, format="csv")
        assert target.read_text() == "old"
        api.answers = [httpx2.Response(200, content=b"index,pts\n0,0\n")]
        assert client.save_result("0190", target, format="csv") == 14
    assert target.read_bytes() == b"index,pts\n0,0\n"
    assert list(tmp_path.iterdir()) == [target]


def test_a_redirect_to_the_store_is_followed_without_the_key() -> None:
    def serve(request: httpx2.Request) -> httpx2.Response:
        if request.url.host == "store.test":
            assert "authorization" not in request.headers
            return httpx2.Response(200, json={"summary": {"frames": 3}})
        return httpx2.Response(302, headers={"location": "http://store.test/object?sig=1"})

    api = FakeApi(serve)
    with api.client() as client:
        assert client.result("0190") == {"summary": {"frames": 3}}
    assert [request.url.host for request in api.requests] == ["api.test", "store.test"]


def test_ids_cannot_lead_to_another_path() -> None:
    api = FakeApi(answer(200, job()))
    with api.client() as client:
        client.get("../keys?x=1")
    assert api.requests[0].url.raw_path == b"/v1/jobs/..%2Fkeys%3Fx%3D1"


def test_the_version_is_the_same_in_the_package_and_its_metadata() -> None:
    import tomllib

    project = Path(framequeue.__file__).parents[1] / "pyproject.toml"
    assert tomllib.loads(project.read_text())["project"]["version"] == framequeue.__version__
