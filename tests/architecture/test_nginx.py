"""The front door: what nginx lets through, shuts and rewrites, tried on a real nginx where there is one.

``apt-get install nginx-light``, or ``NGINX_BIN=/path/to/nginx``; without it only the texts are looked at.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.architecture.compose_file import REPOSITORY

FOLDER = REPOSITORY / "deploy/nginx"
NGINX = os.environ.get("NGINX_BIN") or shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="no nginx here: apt-get install nginx-light, or set NGINX_BIN")


class Echo(http.server.BaseHTTPRequestHandler):
    """Stands for web, Flower and the object store: says what reached it."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        told = {"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}, "bytes": len(body)}
        data = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 - the names that http.server looks for

    def log_message(self, *_: object) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Door:
    """A running nginx: a public and an operators' port, and what it logged."""

    public: int
    operators: int
    log: Path

    def call(self, port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, object]]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, headers=names, body=b"x" * 100 if method in {"PUT", "POST"} else None)
            response = connection.getresponse()
            data = response.read()
            return response.status, json.loads(data) if response.status == 200 else {}
        finally:
            connection.close()


def _ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _install(folder: Path, backend: int, public: int, operators: int) -> Path:
    """The files of the repository, with addresses and places of this test in them."""
    shutil.copytree(FOLDER, folder / "framequeue")
    (folder / "mime.types").write_text("types { text/css css; }")
    for path in (folder / "framequeue").iterdir():
        text = path.read_text()
        text = text.replace("/etc/nginx/framequeue", str(folder / "framequeue"))
        text = text.replace("/etc/nginx/mime.types", str(folder / "mime.types"))
        text = re.sub(r"(?m)^(pid|.*_temp_path) /tmp/", rf"\1 {folder}/", text)
        text = text.replace("/dev/stdout", f"{folder}/access.log").replace("/dev/stderr", f"{folder}/error.log")
        text = re.sub(r"set \$(web|objects|flower) \w+;", r"set $\1 127.0.0.1;", text)
        text = re.sub(r"(\$(?:web|objects|flower)):\d+", rf"\1:{backend}", text)
        text = text.replace("listen 8080;", f"listen 127.0.0.1:{public};")
        text = text.replace("listen 8081;", f"listen 127.0.0.1:{operators};")
        path.write_text(text)
    return folder / "framequeue/nginx.conf"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("nginx")
    folder.chmod(0o777)  # nginx started by root works as nobody
    backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    public, operators = _ports(2)
    config = _install(folder, backend.server_address[1], public, operators)
    for parent in [folder, *folder.parents]:
        if parent == Path("/tmp"):
            break
        parent.chmod(parent.stat().st_mode | 0o755)
    command = [str(NGINX), "-c", str(config), "-g", "daemon off;"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            _until_it_listens(public)
            yield Door(public, operators, folder / "access.log")
        finally:
            process.terminate()
            process.wait(10)
            backend.shutdown()
            backend.server_close()


def _until_it_listens(port: int) -> None:
    tick = threading.Event()
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            tick.wait(0.1)
        else:
            return
    raise AssertionError("nginx does not listen")


@needs_nginx
def test_nginx_itself_takes_the_configuration(tmp_path: Path) -> None:
    config = _install(tmp_path, 9, *_ports(2))
    done = subprocess.run([str(NGINX), "-t", "-c", str(config)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr


@needs_nginx
def test_the_api_is_reached_and_what_clients_claim_of_themselves_is_replaced(door: Door) -> None:
    status, told = door.call(
        door.public, "/v1/jobs?state=queued", X_Forwarded_For="6.6.6.6", X_Forwarded_Prefix="/evil", X_Request_ID="x\t1"
    )
    headers = told["headers"]
    assert isinstance(headers, dict)
    assert (status, told["path"]) == (200, "/v1/jobs?state=queued")
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert "x-forwarded-prefix" not in headers
    assert re.fullmatch("[0-9a-f]{32}", headers["x-request-id"])


@needs_nginx
@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/flower", "/flower/", "/flower/api/workers"])
def test_metrics_and_flower_are_shut_outside(door: Door, path: str) -> None:
    assert door.call(door.public, path)[0] == 404


@needs_nginx
@pytest.mark.parametrize("path", ["/metrics", "/flower/", "/flower/api/workers"])
def test_metrics_and_flower_are_open_to_operators(door: Door, path: str) -> None:
    status, told = door.call(door.operators, path)
    assert (status, told["path"]) == (200, path)


@needs_nginx
def test_operators_reach_nothing_else_by_their_port(door: Door) -> None:
    assert door.call(door.operators, "/v1/jobs")[0] == 404


@needs_nginx
@pytest.mark.parametrize(
    ("method", "query", "status"),
    [
        ("GET", "X-Amz-Signature=abc", 200), ("PUT", "partNumber=1&X-Amz-Signature=abc", 200), ("GET", "", 403),
        ("GET", "not-X-Amz-Signature=abc", 403), ("DELETE", "X-Amz-Signature=abc", 403),
        ("POST", "X-Amz-Signature=abc", 403),
    ],
)  # fmt: skip
def test_only_signed_reads_and_writes_reach_the_object_store(door: Door, method: str, query: str, status: int) -> None:
    answered, told = door.call(door.public, f"/framequeue-objects/inputs/a%20b?{query}", method)
    assert answered == status
    if status == 200:
        headers = told["headers"]
        assert isinstance(headers, dict)
        assert told["path"] == f"/framequeue-objects/inputs/a%20b?{query}"
        assert headers["host"] == f"127.0.0.1:{door.public}"  # part of what is signed


@needs_nginx
def test_signatures_stay_out_of_the_log(door: Door) -> None:
    door.call(door.public, "/framequeue-objects/x?X-Amz-Signature=topsecret")
    lines = door.log.read_text().splitlines()
    assert any(json.loads(line)["path"] == "/framequeue-objects/x" for line in lines)
    assert "topsecret" not in door.log.read_text()


def test_the_limit_of_bodies_is_above_that_of_web_so_that_web_answers_with_a_code() -> None:
    from web.settings import WebSettings

    limit = re.search(r"^client_max_body_size (\d+)g;", (FOLDER / "public.conf").read_text(), re.MULTILINE)
    assert limit
    assert int(limit[1]) * 1024**3 > WebSettings.model_fields["max_upload_bytes"].default


def test_uploads_and_answers_are_not_kept_on_the_way() -> None:
    text = (FOLDER / "public.conf").read_text()
    assert re.search(r"^proxy_request_buffering off;", text, re.MULTILINE)
    assert re.search(r"^proxy_buffering off;", text, re.MULTILINE)
