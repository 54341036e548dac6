"""Each refusal and outage is an error of its own, and says what to do."""

from __future__ import annotations

import httpx2
import pytest
from framequeue import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    ConflictError,
    InvalidError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
)

from tests.unit.client.fake_api import FakeApi, answer, job


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
