"""Large files: parts, breaks, and going on after one. The store here keeps what it gets and may fail on demand."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import pytest
from framequeue import APIConnectionError, Client, ConfigurationError, ServerError, submission

from tests.unit.client.fake_api import answer, job

PART = 1000


class UploadServer:
    """The upload calls of the API and a store for the parts."""

    def __init__(self) -> None:
        self.uploads: dict[str, dict[str, Any]] = {}
        self.parts: dict[tuple[str, int], bytes] = {}
        self.puts: Counter[int] = Counter()
        #: part number -> how many of its next PUTs fail
        self.failing: Counter[int] = Counter()
        self.jobs: list[dict[str, Any]] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        body = request.read()
        if request.method == "PUT":
            return self._put(request, body)
        path = request.url.path
        if path == "/v1/jobs":
            self.jobs.append(json.loads(body))
            return answer(202, job())
        if path == "/v1/uploads":
            return self._create(json.loads(body))
        match = re.fullmatch(r"/v1/uploads/(\w+)(/\w+)?", path)
        assert match
        upload = self.uploads.get(match[1])
        if upload is None:
            return answer(404, {"code": "upload.unknown"})
        if match[2] == "/parts":
            return self._links(match[1], json.loads(body)["numbers"])
        if match[2] == "/complete":
            upload["state"] = "complete"
        return answer(200, upload | {"parts": self._arrived(match[1])})

    def _create(self, wanted: dict[str, Any]) -> httpx2.Response:
        name = f"u{len(self.uploads) + 1}"
        self.uploads[name] = {"id": name, "state": "open", "part_size_bytes": PART, **wanted}
        return answer(201, self.uploads[name])

    def _links(self, name: str, numbers: list[int]) -> httpx2.Response:
        urls = [{"number": number, "url": f"http://store.test/{name}/{number}?sig=1"} for number in numbers]
        return answer(200, {"urls": urls, "expires_in_seconds": 60})

    def _put(self, request: httpx2.Request, body: bytes) -> httpx2.Response:
        assert "authorization" not in request.headers
        assert request.headers["content-type"] == "application/octet-stream"
        assert int(request.headers["content-length"]) == len(body)
        _, name, number = request.url.path.split("/")
        self.puts[int(number)] += 1
        if self.failing[int(number)] > 0:
            self.failing[int(number)] -= 1
            raise httpx2.WriteError("cut off")
        self.parts[name, int(number)] = body
        return httpx2.Response(200, headers={"etag": '"e"'})

    def _arrived(self, name: str) -> list[dict[str, Any]]:
        return [
            {"number": number, "size_bytes": len(data), "etag": "e"}
            for (owner, number), data in sorted(self.parts.items())
            if owner == name
        ]

    def content(self, name: str) -> bytes:
        return b"".join(data for (owner, _), data in sorted(self.parts.items()) if owner == name)

    def client(self) -> Client:
        made = Client("fq_key", "http://api.test", http_transport=httpx2.MockTransport(self))
        made._transport._sleep = lambda seconds: None
        return made


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> UploadServer:
    monkeypatch.setattr(submission, "MULTIPART_BYTES", 4 * PART)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return UploadServer()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Forty parts and a bit."""
    path = tmp_path / "long.mp4"
    path.write_bytes(os.urandom(40 * PART + 77))
    return path


def test_a_large_file_arrives_in_parts_and_the_job_names_its_upload(server: UploadServer, clip: Path) -> None:
    told: list[tuple[int, int]] = []
    with server.client() as client:
        client.submit(clip, "motion", {"width": 320}, on_progress=lambda sent, total: told.append((sent, total)))
    assert server.content("u1") == clip.read_bytes()
    assert server.jobs == [{"pipeline": "motion", "params": {"width": 320}, "input": {"upload_id": "u1"}}]
    size = clip.stat().st_size
    assert told[-1] == (size, size)
    assert [sent for sent, _ in told] == sorted(sent for sent, _ in told)


def test_a_file_of_just_the_limit_goes_in_parts_and_one_byte_less_does_not(
    server: UploadServer, tmp_path: Path
) -> None:
    (tmp_path / "at").write_bytes(bytes(4 * PART))
    with server.client() as client:
        client.submit(tmp_path / "at", "motion")
    assert set(server.puts) == {1, 2, 3, 4}


def test_bytes_in_memory_go_in_parts_too(server: UploadServer) -> None:
    data = os.urandom(5 * PART + 1)
    with server.client() as client:
        client.submit(data, "motion")
    assert server.content("u1") == data


def test_a_part_that_fails_is_sent_again_and_no_other(server: UploadServer, clip: Path) -> None:
    server.failing[7] = 4
    told: list[int] = []
    with server.client() as client:
        client.submit(clip, "motion", on_progress=lambda sent, total: told.append(sent))
    assert server.content("u1") == clip.read_bytes()
    assert server.puts.pop(7) == 5
    assert set(server.puts.values()) == {1}
    assert told[-1] == clip.stat().st_size
    assert max(told) == clip.stat().st_size


def test_a_broken_upload_goes_on_where_it_stopped(server: UploadServer, clip: Path) -> None:
    server.failing[30] = 1000
    with server.client() as client, pytest.raises(APIConnectionError):
        client.submit(clip, "motion")
    assert server.jobs == []
    sent_before = {number for number, count in server.puts.items() if number != 30 and count}
    assert len(sent_before) >= 16
    server.failing.clear()
    told: list[int] = []
    with server.client() as client:
        client.submit(clip, "motion", on_progress=lambda sent, total: told.append(sent))
    assert list(server.uploads) == ["u1"]
    assert server.content("u1") == clip.read_bytes()
    assert all(server.puts[number] == 1 for number in sent_before)
    assert told[0] >= 16 * PART


def test_an_upload_that_the_server_forgot_begins_anew(server: UploadServer, clip: Path) -> None:
    server.failing[30] = 1000
    with server.client() as client, pytest.raises(APIConnectionError):
        client.submit(clip, "motion")
    server.failing.clear()
    server.uploads["u2"] = server.uploads.pop("u1")
    server.uploads["u1"] = {"id": "u1", "state": "expired", "size_bytes": clip.stat().st_size, "part_size_bytes": PART}
    with server.client() as client:
        client.submit(clip, "motion")
    assert server.content("u3") == clip.read_bytes()


def test_the_same_file_submitted_again_is_a_new_upload(server: UploadServer, clip: Path) -> None:
    with server.client() as client:
        client.submit(clip, "motion")
        client.submit(clip, "motion")
    assert [one["input"]["upload_id"] for one in server.jobs] == ["u1", "u2"]


def test_a_file_that_changes_while_it_is_sent_makes_no_job(server: UploadServer, clip: Path) -> None:
    def change(sent: int, total: int) -> None:
        if sent > total // 2:
            os.utime(clip, ns=(1, 1))

    with server.client() as client, pytest.raises(ConfigurationError) as caught:
        client.submit(clip, "motion", on_progress=change)
    assert caught.value.code == "file.changed"
    assert server.jobs == []


def test_a_closed_client_stops_sending(server: UploadServer, clip: Path) -> None:
    client = server.client()

    def close(sent: int, total: int) -> None:
        if sent > 5 * PART:
            client._transport.closed.set()

    with pytest.raises(APIConnectionError) as caught:
        client.submit(clip, "motion", on_progress=close)
    client.close()
    assert caught.value.code == "client.closed"
    assert len(server.puts) < 16


def test_a_server_without_a_link_for_a_part_is_told_plainly(server: UploadServer, clip: Path) -> None:
    server._links = lambda name, numbers: answer(503)  # type: ignore[method-assign]
    with server.client() as client, pytest.raises(ServerError):
        client.submit(clip, "motion")
