"""Fixtures of the HTTP API, of the command line, of workers as processes, and of a worker's station in this one."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import structlog
from werkzeug.serving import make_server

from deploy.local.redis import EmbeddedRedis
from pipeline.cage import Cage
from pipeline.models.shelf import open_shelf
from pipeline.pipelines.motion import Motion
from storage.database import Database
from storage.fleet import Fleet
from storage.ids import new_id
from storage.sql_claims import SqlClaims
from tests.fakes.quiet_bell import QuietBell
from tests.integration.api_bed import Api, served_app, settings_for
from tests.integration.cli_desk import Desk
from tests.integration.queue_bed import Bed, open_objects
from tests.integration.stand import Stand
from workers.flags import SharedFlags
from workers.heartbeat import Pulse
from workers.scratch import Scratch
from workers.station import Limits, Station
from workers.watchdog import Watchdog


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
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    folder = tmp_path / "files"
    folder.mkdir()
    settings = settings_for(
        database_url, redis_url, tmp_path / "objects", public_url=url, upload_part_bytes=5 * 1024**2
    )
    with listener, served_app(settings) as api:
        server = make_server("127.0.0.1", port, api.app, threaded=True, fd=listener.fileno())
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


@pytest.fixture(scope="module")
def cage() -> Iterator[Cage]:
    """A warm cage for all tests of a file."""
    with Cage(answer_seconds=8.0) as opened:
        yield opened


@pytest.fixture
def bed(database: Database, tmp_path: Path) -> Bed:
    """Jobs put into database and store as web does, without HTTP."""
    return Bed(database, open_objects(tmp_path / "objects"))


@pytest.fixture
def bell() -> QuietBell:
    return QuietBell()


@pytest.fixture
def station(bed: Bed, cage: Cage, bell: QuietBell, tmp_path: Path) -> Iterator[Station]:
    """A worker's station for motion, on the bed."""
    worker_id = new_id()
    fleet, claims = Fleet(bed.database), SqlClaims(bed.database)

    def enroll() -> None:
        fleet.register(
            worker_id, host="here", pid=1, lanes=["cpu"], size_classes=["short", "long"], pipelines=[], device={}
        )  # fmt: skip

    with ExitStack() as stack:
        scratch = stack.enter_context(Scratch(tmp_path / "scratch", "one", bed.objects, max_bytes=10**8))
        pulse = stack.enter_context(Pulse(worker_id, claims, enroll, interval_seconds=60.0))
        stacks = stack.enter_context(tempfile.TemporaryFile("w"))
        yield Station(
            claims=claims, parts=bed.jobs, objects=bed.objects, scratch=scratch, pipelines={"motion": Motion()},
            cage=cage, shelf=open_shelf(), doorbell=bell, hints=bell, pulse=pulse, watchdog=Watchdog(stacks),
            flags=SharedFlags(), limits=Limits(shift_seconds=30.0),
        )  # fmt: skip
