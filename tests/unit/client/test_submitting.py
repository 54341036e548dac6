"""Submitting with the client: forms, addresses, and one key over all attempts."""

from __future__ import annotations

import json
from pathlib import Path

import httpx2
import pytest
from framequeue import ConfigurationError

from tests.unit.client.fake_api import FakeApi, answer, job
from tests.unit.client.forms import form_of


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
