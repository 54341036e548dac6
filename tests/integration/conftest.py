"""Fixtures of the HTTP API, of the command line, and of workers as processes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import structlog
from werkzeug.serving import make_server

from deploy.local.child import free_port
from deploy.local.redis import EmbeddedRedis
from storage.database import Database
from tests.integration.api_bed import Api, served_app, settings_for
from tests.integration.cli_desk import Desk
from tests.integration.queue_bed import Bed, open_objects
from tests.integration.stand import Stand


@pytest.fixture
def api(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Api]:
    """The app on a fresh database, an empty Redis and an empty local store."""
    with served_app(settings_for(database_url, redis_url, tmp_path / "objects")) as made:
        yield made


@pytest.fixture
def stand(
    database: Database, database_url: str, redis_server: EmbeddedRedis, redis_url: str, tmp_path: Path
) -> Iterator[Stand]:
    """Workers and dispatchers, started by the test and stopped after it."""
    with ExitStack() as stack:
        bed = Bed(database, open_objects(tmp_path / "objects"))
        yield Stand(bed, tmp_path, stack, redis_server, database_url=database_url)


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
