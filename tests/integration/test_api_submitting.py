"""Submitting over HTTP: files, forms, URLs and keys; what is refused keeps nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from storage.errors import DatabaseUnavailable
from tests.integration.api_bed import MP4, PNG, Api
from tests.integration.api_looks import code, jobs, objects


def test_a_submitted_file_is_answered_202_with_the_job_and_lies_in_the_store(api: Api) -> None:
    response = api.submit(PNG, params='{"sampler": {"stride": 2}}', metadata='{"camera": "7"}')
    job = response.get_json()
    assert response.status_code == 202
    assert response.headers["Location"] == job["urls"]["self"] == f"http://localhost/v1/jobs/{job['id']}"
    assert job["state"] == "queued"
    assert job["terminal"] is False
    assert job["params"] == {"width": 640, "sampler": {"policy": "stride", "stride": 2}}
    assert job["metadata"] == {"camera": "7"}
    assert job["input"]["size_bytes"] == len(PNG)
    assert job["waiting_for"] == "worker"
    assert int(response.headers["Retry-After"]) >= 1
    with api.services.objects.open(f"inputs/{job['id']}/source") as body:
        assert body.read(10_000) == PNG


def test_a_video_goes_to_the_long_queue_and_a_still_to_the_short_one(api: Api) -> None:
    still, video = api.submitted(PNG), api.submitted(MP4, name="a.mp4")
    assert api.services.jobs.get(still["id"]).size_class == "short"
    assert api.services.jobs.get(video["id"]).size_class == "long"


def test_fields_may_follow_the_file(api: Api) -> None:
    body = (
        b'--e\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + PNG + b"\r\n"
        b'--e\r\nContent-Disposition: form-data; name="pipeline"\r\n\r\nmotion\r\n'
        b'--e\r\nContent-Disposition: form-data; name="params"\r\n\r\n{"width": 100}\r\n--e--\r\n'
    )
    response = api.post("/v1/jobs", data=body, content_type="multipart/form-data; boundary=e")
    assert response.status_code == 202
    assert response.get_json()["params"]["width"] == 100


@pytest.mark.parametrize(
    ("fields", "status", "expected"),
    [
        ({"pipeline": "nonsense"}, 422, "pipeline.unknown"),
        ({"params": '{"width": 1, "colour": 2}'}, 422, "params.invalid"),
        ({"params": "{"}, 422, "request.invalid"),
        ({"params": "[1]"}, 422, "request.invalid"),
        ({"params": '{"width": NaN}'}, 422, "request.invalid"),
        ({"webhook_url": "ftp://example.org"}, 422, "request.invalid"),
        ({"tenant": "other"}, 422, "request.invalid"),
        ({"priority": "highest"}, 422, "request.invalid"),
        ({"metadata": '{"a": {"b": 1}}'}, 422, "request.invalid"),
        ({"metadata": '{"a": "nul \\u0000"}'}, 422, "request.invalid"),
        ({"run_after": "2026-01-01T00:00:00"}, 422, "request.invalid"),
        ({"expires_in_seconds": "0"}, 422, "request.invalid"),
        ({"body": b""}, 422, "media.empty"),
        ({"body": b"<!doctype html><script>"}, 415, "media.unsupported"),
        ({"body": b"#EXTM3U\n#EXTINF:1\nfile:///etc/passwd"}, 415, "media.unsupported"),
        ({"body": b"PK\x03\x04rest of a zip"}, 415, "media.unsupported"),
        ({"body": b"time,x,y,z\n1,2,3,4\n"}, 415, "media.unsupported"),
        ({"pipeline": ""}, 422, "request.invalid"),
        ({"pipeline": "steps"}, 415, "media.unsupported"),
        ({"headers": {"Idempotency-Key": "two words"}}, 400, "idempotency.invalid"),
    ],
)  # fmt: skip
def test_a_refused_submission_names_its_fault_and_keeps_nothing(
    api: Api, fields: dict[str, Any], status: int, expected: str
) -> None:
    response = api.submit(**fields)
    assert (response.status_code, code(response)) == (status, expected)
    assert objects(api) == []
    assert jobs(api) == []


def test_every_fault_of_the_parameters_is_listed_with_its_place(api: Api) -> None:
    response = api.submit(params='{"width": 1, "sampler": {"stride": 0}, "colour": 2}')
    paths = [fault["path"] for fault in response.get_json()["faults"]]
    assert sorted(paths) == ["/params", "/params/sampler/stride", "/params/width"]


@pytest.mark.parametrize(
    ("data", "content_type", "status", "expected"),
    [
        (b"{", "application/json", 400, "body.malformed"),
        (b'{"pipeline": "motion"}', "application/json", 422, "request.invalid"),
        (b"[" * 100_000, "application/json", 400, "body.malformed"),
        (b"x" * 2_000_000, "application/json", 413, "body.too_large"),
        (b"hello", "text/plain", 415, "type.unsupported"),
        (b"hello", "multipart/form-data", 400, "body.malformed"),
        (b"hello", "multipart/form-data; boundary=e", 400, "body.truncated"),
        (b"--e\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n" + PNG,
         "multipart/form-data; boundary=e", 400, "body.truncated"),
        (b"--e--\r\n", "multipart/form-data; boundary=e", 422, "request.invalid"),
        (b'--e\r\nContent-Disposition: form-data; name="pipeline"\r\n\r\n' + b"x" * 600_000 + b"\r\n--e--\r\n",
         "multipart/form-data; boundary=e", 413, "body.too_large"),
        (b"y" * 600_000, "multipart/form-data; boundary=e", 413, "body.too_large"),
    ],
)  # fmt: skip
def test_a_body_that_is_not_one_is_a_clear_problem(
    api: Api, data: bytes, content_type: str, status: int, expected: str
) -> None:
    response = api.post("/v1/jobs", data=data, content_type=content_type)
    assert (response.status_code, code(response)) == (status, expected)
    assert objects(api) == []


def test_a_file_over_the_limit_is_413_whether_its_length_is_declared_or_not(api: Api) -> None:
    object.__setattr__(api.services.settings, "max_upload_bytes", 1000)
    before = b'--e\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    declared = api.post("/v1/jobs", data=before + bytes(2_000_000), content_type="multipart/form-data; boundary=e")
    hidden = api.submit(MP4)  # small enough for the form as a whole, too large for the file
    assert [code(declared), code(hidden)] == ["media.too_large", "media.too_large"]
    assert objects(api) == []


def test_urgent_needs_scope_operate(api: Api) -> None:
    assert api.submit(priority="urgent").status_code == 202
    assert code(api.as_caller("acme", ("submit", "read")).submit(priority="urgent")) == "scope.missing"


def test_the_same_idempotency_key_gives_the_same_job_and_one_object(api: Api) -> None:
    key = {"Idempotency-Key": "order-1"}
    first, again = api.submit(headers=key), api.submit(headers=key)
    assert again.status_code == 202
    assert again.get_json()["id"] == first.get_json()["id"]
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert objects(api) == [f"inputs/{first.get_json()['id']}/source"]


@pytest.mark.parametrize("change", [{"body": MP4}, {"params": '{"width": 100}'}, {"metadata": '{"a": 1}'}])
def test_the_same_idempotency_key_with_another_request_is_409(api: Api, change: dict[str, Any]) -> None:
    key = {"Idempotency-Key": "order-1"}
    api.submit(headers=key)
    assert code(api.submit(headers=key, **change)) == "idempotency.conflict"
    assert len(objects(api)) == 1


def test_defaults_spelt_out_are_the_same_request(api: Api) -> None:
    key = {"Idempotency-Key": "order-1"}
    first = api.submit(headers=key)
    again = api.submit(headers=key, params='{"sampler": {"stride": 5}, "width": 640}')
    assert again.get_json()["id"] == first.get_json()["id"]


def test_keys_of_two_tenants_do_not_meet(api: Api) -> None:
    key = {"Idempotency-Key": "order-1"}
    assert api.submit(headers=key).get_json()["id"] != api.as_caller().submit(headers=key).get_json()["id"]


def test_concurrent_duplicates_make_one_job_and_keep_one_object(api: Api) -> None:
    answers: list[TestResponse] = []
    gate = threading.Barrier(4)

    def submit() -> None:
        gate.wait()
        answers.append(api.submit(headers={"Idempotency-Key": "order-1"}))

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [202] * 4
    (made,) = {answer.get_json()["id"] for answer in answers}
    assert objects(api) == [f"inputs/{made}/source"]


def test_prefer_wait_answers_200_with_the_result_when_the_job_ends_in_time(api: Api) -> None:
    worker = api.worker()
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            try:
                worker.run()
                return
            except AssertionError:  # nothing to claim yet
                ended.wait(0.05)

    thread = threading.Thread(target=work)
    thread.start()
    response = api.submit(headers={"Prefer": "respond-async, wait=10"})
    ended.set()
    thread.join()
    assert response.status_code == 200
    assert response.headers["Preference-Applied"] == "wait=10"
    assert response.get_json()["state"] == "succeeded"


def test_prefer_wait_answers_202_when_it_does_not(api: Api) -> None:
    assert api.submit(headers={"Prefer": "wait=1"}).status_code == 202


def test_a_url_waits_for_the_ingest_and_an_upload_for_nothing(api: Api) -> None:
    body = {"pipeline": "motion", "input": {"url": "https://example.org/clips/cup.mp4?token=1"}}
    job = api.post("/v1/jobs", json=body).get_json()
    assert (job["state"], job["waiting_for"], job["input"]["filename"]) == ("uploading", "input", "cup.mp4")


@pytest.mark.parametrize(
    "source",
    [
        {},
        {"url": "ftp://example.org/a"},
        {"url": "https://user:secret@example.org/a"},
        {"url": "https://example.org/a b"},
        {"object": "https://example.org/a"},
        {"upload_id": "x", "url": "https://example.org/a"},
        {"path": "/etc/passwd"},
    ],
)
def test_an_input_must_be_one_of_three_and_well_formed(api: Api, source: dict[str, str]) -> None:
    assert code(api.post("/v1/jobs", json={"pipeline": "motion", "input": source})) == "request.invalid"


def test_a_file_name_is_only_ever_shown(api: Api) -> None:
    job = api.submitted(name="../../etc/\u202eevil\x07<script>.png")
    assert job["input"]["filename"] == "evil<script>.png"
    assert objects(api) == [f"inputs/{job['id']}/source"]


class LostAnswer:
    """A job store whose database goes away while it commits."""

    def __init__(self, api: Api, committed: bool) -> None:
        self._jobs, self._committed = api.services.jobs, committed

    def create(self, new: Any) -> Any:
        if self._committed:
            self._jobs.create(new)
        raise DatabaseUnavailable("gone while it committed")


@pytest.fixture(params=[True, False])
def lossy(api: Api, request: pytest.FixtureRequest) -> Iterator[Api]:
    kept = api.services.jobs
    object.__setattr__(api.services, "jobs", LostAnswer(api, request.param))
    yield api
    object.__setattr__(api.services, "jobs", kept)


def test_a_commit_whose_answer_was_lost_is_503_and_never_robs_a_job_of_its_input(lossy: Api) -> None:
    response = lossy.submit()
    assert (response.status_code, code(response)) == (503, "database.unavailable")
    assert int(response.headers["Retry-After"]) > 0
    assert len(objects(lossy)) == 1  # litter at worst, which is swept
