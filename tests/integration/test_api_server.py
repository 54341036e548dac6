"""The app under a real gunicorn: memory, broken connections, hints between processes."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from deploy.local.child import free_port
from storage.job import JobState
from storage.jobs import JobFilter
from tests.integration.api_bed import MP4, PNG, Api
from tests.integration.queue_bed import wait_until
from workers.hints import Hints

MIB = 1024 * 1024


@dataclass
class Server:
    """A running gunicorn with one worker process, beside an app object on the same database and store."""

    api: Api
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api.secret}"}

    def worker(self) -> psutil.Process:
        """The process that answers requests."""
        (child,) = psutil.Process(self.process.pid).children()
        return child

    def jobs(self) -> int:
        return len(self.api.services.jobs.list("acme", JobFilter(), cursor=None, limit=10).jobs)

    def objects(self) -> list[str]:
        return [stored.key for stored in self.api.services.objects.list("")]


@contextmanager
def running(api: Api, tmp_path: Path, database_url: str, redis_url: str, **changes: str) -> Iterator[Server]:
    port = free_port()
    log = tmp_path / "web.log"
    environment = {
        **os.environ,
        "FQ_DATABASE_URL": database_url,
        "FQ_REDIS_URL": redis_url,
        "FQ_STORE": f"file://{tmp_path / 'objects'}",
        "FQ_STORE_SECRET": "a secret of at least thirty-two bytes",
        "FQ_WEB_BIND": f"127.0.0.1:{port}",
        "FQ_WEB_WORKERS": "1",
        "FQ_PUBLIC_URL": f"http://127.0.0.1:{port}",
        **changes,
    }
    command = [sys.executable, "-m", "gunicorn", "--config", "web/gunicorn.conf.py", "web.wsgi:app"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, cwd=Path(__file__).parents[2]
        )
    server = Server(api, port, process, log)
    try:
        wait_until(lambda: _status(server, "/health"), lambda status: status == 200, seconds=30)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def _status(server: Server, path: str) -> int | None:
    connection = server.connect()
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


@pytest.fixture
def server(api: Api, tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Server]:
    with running(api, tmp_path, database_url, redis_url) as made:
        yield made


def form_parts(filename: str = "a.mp4") -> tuple[bytes, bytes, str]:
    """What stands before and after a file in a form, and the content type."""
    before = (
        b'--edge\r\nContent-Disposition: form-data; name="pipeline"\r\n\r\nmotion\r\n--edge\r\n'
        b'Content-Disposition: form-data; name="file"; filename="' + filename.encode() + b'"\r\n\r\n'
    )
    return before, b"\r\n--edge--\r\n", "multipart/form-data; boundary=edge"


def test_a_large_upload_streams_through_without_growing_the_process(server: Server) -> None:
    before, after, content_type = form_parts()
    size = 256 * MIB
    connection = server.connect()
    worker = server.worker()
    _status(server, "/health")
    rss_before = worker.memory_info().rss
    peak = rss_before
    connection.putrequest("POST", "/v1/jobs")
    for name, value in {**server.headers(), "Content-Type": content_type}.items():
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(before) + size + len(after)))
    connection.endheaders()
    connection.send(before + MP4)
    piece = bytes(MIB)
    for _ in range(size // MIB - 1):
        connection.send(piece)
        peak = max(peak, worker.memory_info().rss)
    connection.send(piece[: MIB - len(MP4)] + after)
    response = connection.getresponse()
    job = json.loads(response.read())
    connection.close()
    assert response.status == 202, job
    assert job["input"]["size_bytes"] == size
    assert max(peak, worker.memory_info().rss) - rss_before < 64 * MIB


def test_a_chunked_upload_is_taken_too(server: Server) -> None:
    before, after, content_type = form_parts()
    connection = server.connect()
    body = iter([before, MP4[:100], MP4[100:], after])
    connection.request(
        "POST", "/v1/jobs", body=body, headers={**server.headers(), "Content-Type": content_type}, encode_chunked=True
    )
    response = connection.getresponse()
    job = json.loads(response.read())
    connection.close()
    assert response.status == 202, job
    assert job["input"]["size_bytes"] == len(MP4)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_dies_in_mid_upload_leaves_no_job_and_no_object(server: Server, chunked: bool) -> None:
    before, _, content_type = form_parts()
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.api.secret}\r\n"
    head += f"Content-Type: {content_type}\r\n"
    body = before + MP4 + bytes(3 * MIB)
    if chunked:
        head += "Transfer-Encoding: chunked\r\n\r\n"
        body = f"{len(body):x}\r\n".encode() + body + b"\r\n"
    else:
        head += f"Content-Length: {100 * MIB}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head.encode() + body)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    wait_until(server.log.read_text, lambda text: '"path": "/v1/jobs"' in text, seconds=10)
    assert server.jobs() == 0
    assert server.objects() == []
    assert list((server.log.parent / "objects" / "temporary").iterdir()) == []
    assert '"status": 400' in server.log.read_text()


def test_a_long_poll_is_woken_by_a_hint_from_another_process(
    api: Api, tmp_path: Path, database_url: str, redis_url: str
) -> None:
    # by itself it would look after 0.25 s, and then only after 20 s
    with running(api, tmp_path, database_url, redis_url, FQ_RECHECK_SECONDS="20") as server:
        job = server.api.submitted(PNG)
        worker = server.api.worker()
        with ThreadPoolExecutor(1) as pool, closing(Hints(redis_url)) as hints:
            started_at = time.monotonic()
            answer = pool.submit(_poll, server, job["id"])
            wait_until(lambda: time.monotonic() - started_at, lambda waited: waited > 1.0, seconds=5)
            assert not answer.done()
            worker.run()
            hints.tell(job["id"])
            ended_at = time.monotonic()
            document = answer.result(10)
        assert document["state"] == JobState.SUCCEEDED
        assert time.monotonic() - ended_at < 3.0


def _poll(server: Server, job_id: str) -> dict[str, object]:
    with closing(server.connect()) as connection:
        connection.request("GET", f"/v1/jobs/{job_id}?wait=30", headers=server.headers())
        return dict(json.loads(connection.getresponse().read()))


def test_an_upload_goes_in_parts_to_signed_urls_and_becomes_a_job(server: Server) -> None:
    connection = server.connect()
    content = (MP4 + bytes(12 * MIB))[: 12 * MIB]

    def call(method: str, path: str, body: object = None) -> tuple[int, dict[str, object]]:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {**server.headers(), "Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"{}")

    status, upload = call("POST", "/v1/uploads", {"size_bytes": len(content), "filename": "a.mp4"})
    assert status == 201
    path = f"/v1/uploads/{upload['id']}"
    _, signed = call("POST", f"{path}/parts", {"numbers": [1]})
    (part,) = signed["urls"]  # type: ignore[misc]
    url = urlsplit(part["url"])
    connection.request("PUT", f"{url.path}?{url.query}", content)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200
    assert call("POST", f"{path}/complete", {})[1]["state"] == "complete"
    status, job = call("POST", "/v1/jobs", {"pipeline": "motion", "input": {"upload_id": upload["id"]}})
    connection.close()
    assert status == 202
    assert job["input"]["size_bytes"] == len(content)  # type: ignore[index]


def test_no_log_line_holds_a_key_or_a_signature(server: Server) -> None:
    _status(server, "/v1/jobs?cursor=fq_shouldnotshow")
    connection = server.connect()
    connection.request("GET", "/v1/jobs", headers=server.headers())
    connection.getresponse().read()
    connection.close()
    text = wait_until(server.log.read_text, lambda text: text.count('"path": "/v1/jobs"') >= 2, seconds=5)
    assert server.api.secret not in text
    assert not re.search(r"fq_shouldnotshow|signature=", text)


def test_sigterm_answers_waiting_clients_soon_instead_of_cutting_them_off(server: Server) -> None:
    job = server.api.submitted(PNG)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(_poll, server, job["id"])
        wait_until(lambda: _threads_waiting(server), bool, seconds=5)
        server.process.send_signal(signal.SIGTERM)
        assert answer.result(10)["state"] == JobState.QUEUED
    assert server.process.wait(10) == 0


def _threads_waiting(server: Server) -> bool:
    """Whether the hints' listener has started: it does so for the first waiting client."""
    return server.worker().num_threads() >= 3
