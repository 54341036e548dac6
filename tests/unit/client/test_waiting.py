"""Waiting for a job over restarts, by its version, with an end."""

from __future__ import annotations

import httpx2
import pytest
from framequeue import JobFailedError, WaitTimeoutError

from tests.unit.client.fake_api import FakeApi, answer, job


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
