"""Resumable uploads, and the signed URLs of the local store."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from werkzeug.test import TestResponse

from tests.integration.api_bed import MP4, Api

MIB = 1024 * 1024
CONTENT = MP4 + bytes(11 * MIB)


@pytest.fixture(autouse=True)
def _small_parts(api: Api) -> None:
    object.__setattr__(api.services.settings, "upload_part_bytes", 5 * MIB)


def begin(api: Api, size: int = len(CONTENT)) -> dict[str, Any]:
    response = api.post("/v1/uploads", json={"size_bytes": size, "filename": "cup.mp4", "content_type": "video/mp4"})
    assert response.status_code == 201, response.get_json()
    return dict(response.get_json())


def sign(api: Api, upload: dict[str, Any], *numbers: int) -> list[dict[str, Any]]:
    response = api.post(f"/v1/uploads/{upload['id']}/parts", json={"numbers": list(numbers)})
    assert response.status_code == 200, response.get_json()
    return list(response.get_json()["urls"])


def put(api: Api, url: str, body: bytes) -> TestResponse:
    parts = urlsplit(url)
    response = api.client.put(f"{parts.path}?{parts.query}", data=body, content_type="application/octet-stream")
    api.opened.append(response)
    return response


def send(api: Api, upload: dict[str, Any], *numbers: int) -> None:
    for part in sign(api, upload, *numbers):
        start = (part["number"] - 1) * upload["part_size_bytes"]
        assert put(api, part["url"], CONTENT[start : start + part["size_bytes"]]).status_code == 200


def complete(api: Api, upload: dict[str, Any]) -> TestResponse:
    return api.post(f"/v1/uploads/{upload['id']}/complete", json={})


def test_a_broken_upload_goes_on_where_it_stopped_and_becomes_a_job(api: Api) -> None:
    upload = begin(api)
    assert (upload["part_count"], upload["part_size_bytes"], upload["state"]) == (3, 5 * MIB, "open")
    send(api, upload, 1, 3)
    missing = complete(api, upload)
    assert (missing.status_code, missing.get_json()["missing_parts"]) == (409, [2])
    arrived = api.get(f"/v1/uploads/{upload['id']}").get_json()["parts"]
    assert [part["number"] for part in arrived] == [1, 3]
    send(api, upload, 2)
    assert complete(api, upload).get_json()["state"] == "complete"
    assert complete(api, upload).status_code == 200  # repeatable
    order = {"pipeline": "motion", "input": {"upload_id": upload["id"]}}
    job = api.post("/v1/jobs", json=order, headers={"Idempotency-Key": "k"})
    assert job.status_code == 202
    assert job.get_json()["input"] == {
        "filename": "cup.mp4", "content_type": "video/mp4", "size_bytes": len(CONTENT), "sha256": None,
        "source_url": None, "deleted_at": None,
    }  # fmt: skip
    assert api.services.jobs.get(job.get_json()["id"]).size_class == "long"
    again = api.post("/v1/jobs", json=order, headers={"Idempotency-Key": "k"})
    assert again.get_json()["id"] == job.get_json()["id"]
    assert api.post("/v1/jobs", json=order).get_json()["code"] == "state.conflict"  # an upload is one job's input


def test_an_open_upload_is_no_input_yet(api: Api) -> None:
    upload = begin(api)
    response = api.post("/v1/jobs", json={"pipeline": "motion", "input": {"upload_id": upload["id"]}})
    assert (response.status_code, response.get_json()["code"]) == (409, "upload.incomplete")


def test_an_upload_of_another_kind_is_refused_at_submission(api: Api) -> None:
    upload = begin(api, 6)
    (part,) = sign(api, upload, 1)
    put(api, part["url"], b"<html>")
    complete(api, upload)
    response = api.post("/v1/jobs", json={"pipeline": "motion", "input": {"upload_id": upload["id"]}})
    assert (response.status_code, response.get_json()["code"]) == (415, "media.unsupported")


def test_a_part_of_another_size_is_refused(api: Api) -> None:
    upload = begin(api)
    (part,) = sign(api, upload, 3)
    assert put(api, part["url"], bytes(10)).get_json()["code"] == "upload.mismatch"
    assert api.get(f"/v1/uploads/{upload['id']}").get_json()["parts"] == []


@pytest.mark.parametrize(
    ("order", "status", "code"),
    [
        ({"size_bytes": 0}, 422, "media.empty"),
        ({"size_bytes": 10**15}, 413, "media.too_large"),
        ({"size_bytes": -1}, 422, "request.invalid"),
        ({}, 422, "request.invalid"),
        ({"size_bytes": 1, "key": "inputs/x"}, 422, "request.invalid"),
    ],
)
def test_an_upload_that_cannot_be_is_refused(api: Api, order: dict[str, Any], status: int, code: str) -> None:
    response = api.post("/v1/uploads", json=order)
    assert (response.status_code, response.get_json()["code"]) == (status, code)


@pytest.mark.parametrize("numbers", [[0], [4], [], ["x"]])
def test_part_numbers_are_checked(api: Api, numbers: list[Any]) -> None:
    upload = begin(api)
    response = api.post(f"/v1/uploads/{upload['id']}/parts", json={"numbers": numbers})
    assert response.get_json()["code"] == "request.invalid"


def test_a_very_large_upload_gets_larger_parts_not_more_than_ten_thousand(api: Api) -> None:
    object.__setattr__(api.services.settings, "max_upload_bytes", 10**15)
    upload = begin(api, 10**12)
    assert upload["part_count"] <= 10_000
    assert upload["part_size_bytes"] % MIB == 0


def test_an_aborted_upload_takes_no_parts(api: Api) -> None:
    upload = begin(api)
    (part,) = sign(api, upload, 1)
    assert api.call("DELETE", f"/v1/uploads/{upload['id']}").status_code == 204
    assert put(api, part["url"], CONTENT[: part["size_bytes"]]).status_code == 404
    assert api.get(f"/v1/uploads/{upload['id']}").get_json()["code"] == "upload.unknown"
    assert complete(api, upload).get_json()["code"] == "upload.unknown"


def test_a_complete_upload_is_not_aborted(api: Api) -> None:
    upload = begin(api)
    send(api, upload, 1, 2, 3)
    complete(api, upload)
    assert api.call("DELETE", f"/v1/uploads/{upload['id']}").get_json()["code"] == "state.conflict"
    assert api.post("/v1/jobs", json={"pipeline": "motion", "input": {"upload_id": upload["id"]}}).status_code == 202


def test_parts_joined_by_a_call_whose_answer_was_lost_are_completed_by_the_next(api: Api) -> None:
    upload = begin(api)
    send(api, upload, 1, 2, 3)
    row = api.services.uploads.get(upload["id"], "acme")
    parts = api.services.objects.list_parts(row.key, row.multipart_id)
    api.services.objects.complete_multipart(row.key, row.multipart_id, parts)
    assert len(api.get(f"/v1/uploads/{upload['id']}").get_json()["parts"]) == 3
    assert complete(api, upload).get_json()["state"] == "complete"


@pytest.mark.parametrize("change", ["size=1", "part=2", "expires=9999999999", "upload=other", "signature=00"])
def test_a_changed_signed_url_is_403(api: Api, change: str) -> None:
    upload = begin(api)
    (part,) = sign(api, upload, 1)
    name = change.partition("=")[0]
    path, _, query = part["url"].partition("?")
    fields = [field for field in query.split("&") if not field.startswith(f"{name}=")] + [change]
    response = put(api, f"{path}?{'&'.join(fields)}", bytes(10))
    assert (response.status_code, response.get_json()["code"]) == (403, "signature.invalid")


def download(api: Api, **headers: str) -> TestResponse:
    api.services.objects.put("inputs/x/source", b"0123456789")
    url = urlsplit(api.services.objects.presign_get("inputs/x/source", expires_seconds=60, filename="ten.txt"))
    response = api.client.get(f"{url.path}?{url.query}", headers=headers)
    api.opened.append(response)
    return response


def test_a_signed_download_is_an_attachment_that_no_browser_sniffs(api: Api) -> None:
    response = download(api)
    assert (response.status_code, response.data) == (200, b"0123456789")
    assert response.headers["Content-Disposition"].startswith('attachment; filename="ten.txt"')
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("asked", "status", "body", "told"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=0-1,3-4", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
def test_ranges_of_a_signed_download(api: Api, asked: str, status: int, body: bytes, told: str | None) -> None:
    response = download(api, Range=asked)
    assert (response.status_code, response.data, response.headers.get("Content-Range")) == (status, body, told)


def test_a_range_past_the_end_is_416(api: Api) -> None:
    response = download(api, Range="bytes=10-")
    assert (response.status_code, response.get_json()["code"]) == (416, "range.unsatisfiable")
    assert response.headers["Content-Range"] == "bytes */10"


@pytest.mark.parametrize("path", ["inputs/x/source", "../../etc/passwd", "a/../b", "%2e%2e/x"])
def test_an_unsigned_object_is_403_whatever_its_path(api: Api, path: str) -> None:
    response = api.client.get(f"/objects/{path}")
    assert response.status_code in {403, 404}
    assert b"root:" not in response.data
