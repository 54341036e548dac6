"""Fixtures of the HTTP API and of the command line."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from werkzeug.serving import make_server

from deploy.local.child import free_port
from tests.integration.api_bed import Api, served_app, settings_for
from tests.integration.cli_desk import Desk


@pytest.fixture
def api(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Api]:
    """The app on a fresh database, an empty Redis and an empty local store."""
    with served_app(settings_for(database_url, redis_url, tmp_path / "objects")) as made:
        yield made


@pytest.fixture
def silent_server() -> Iterator[None]:
    """The server shares this process, and its log must not stand between the lines of the command."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.configure(**before)


@pytest.fixture
def desk(
    silent_server: None, database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Desk]:  # fmt: skip
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    folder = tmp_path / "files"
    folder.mkdir()
    settings = settings_for(
        database_url, redis_url, tmp_path / "objects", public_url=url, upload_part_bytes=5 * 1024**2
    )
    with served_app(settings) as api:
        server = make_server("127.0.0.1", port, api.app, threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        environment = {
            "FRAMEQUEUE_URL": url,
            "FRAMEQUEUE_API_KEY": api.secret,
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(folder)
        try:
            yield Desk(api, url, folder, capsys, environment=environment)
        finally:
            server.shutdown()
            thread.join(10)
            server.server_close()
