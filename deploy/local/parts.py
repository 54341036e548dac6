"""What the embedded stack consists of: addresses, environment, and how each part is started and found ready."""

from __future__ import annotations

import http.client
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.child import LOOPBACK, Child, Command, answers, free_port, group_members
from deploy.local.home import REPOSITORY, Home, Secrets
from deploy.local.layout import Layout
from deploy.local.leftovers import MARK, stop_place
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.redis import EmbeddedRedis

DATABASE = "framequeue"
FLOWER_USER = "operator"
#: taken at the first start where they are free; the others are any
FIRST_PORTS = {"web": 8080, "flower": 5555}


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the stack."""

    name: str
    launch: Callable[[], Child]
    ready: Callable[[Child], bool]
    ready_timeout_seconds: float = 120.0
    stop_timeout_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the stack answers; loopback all of it."""

    ports: Mapping[str, int]

    @property
    def api_url(self) -> str:
        """Base of the HTTP API."""
        return f"http://{LOOPBACK}:{self.ports['web']}"

    @property
    def api_urls(self) -> list[str]:
        """Base of the HTTP API at every web."""
        return [f"http://{LOOPBACK}:{port}" for name, port in self.ports.items() if name.partition("-")[0] == "web"]

    @property
    def flower_url(self) -> str:
        """Flower's first page."""
        return f"http://{LOOPBACK}:{self.ports['flower']}"


class Parts:
    """All parts of one start, made from one home folder."""

    def __init__(
        self, home: Home, secrets: Secrets, layout: Layout, *, run_id: str, random_ports: bool = False
    ) -> None:
        ports = _choose_ports(home.ports(), layout.replicas("web"), random_ports=random_ports)
        self.addresses = Addresses(ports)
        self.postgres = EmbeddedPostgres(
            home.root / "postgres",
            password=secrets.postgres_password,
            log_path=home.logs / "postgres.log",
            port=ports["postgres"],
            environment=layout.extra_of("postgres"),
        )
        self.redis = EmbeddedRedis(
            home.root / "redis",
            password=secrets.redis_password,
            log_path=home.logs / "redis.log",
            port=ports["redis"],
            durable=layout.redis_persists,
            environment=layout.extra_of("redis"),
        )
        home.write_ports(ports)
        self._home = home
        self._secrets = secrets
        self._layout = layout
        self._run_id = run_id

    @property
    def database_url(self) -> str:
        """Our database in the embedded server."""
        return self.postgres.url(DATABASE)

    def engines(self) -> tuple[Part, ...]:
        """What must be there first."""
        return (
            Part("postgres", self.postgres.launch, lambda _: self.postgres.accepts(), stop_timeout_seconds=30.0),
            Part("redis", self.redis.launch, lambda _: self.redis.accepts()),
        )

    def services(self) -> tuple[Part, ...]:
        """Our own processes; they may start in any order."""
        return (
            *map(self._web, self._layout.replicas("web")),
            *map(self._worker, self._layout.replicas("worker")),
            *map(self._dispatcher, self._layout.replicas("dispatcher")),
            Part(
                "flower",
                lambda: self._python("flower", "celery", "-A", "workers.celery_app", "flower"),
                lambda _: answers(self.addresses.ports["flower"]),
            ),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Every part, in the order of ends."""
        return tuple(sorted((part.name for part in (*self.engines(), *self.services())), key=stop_place))

    def migration(self) -> Child:
        """Start the migration, which also registers what the built-in pipelines take."""
        return self._python("migrate", "workers.migrate")

    def environment(self, name: str) -> dict[str, str]:
        """What a process of ours is told: the operator's own settings, except where the stack is."""
        home, ports = self._home, self.addresses.ports
        chosen = {
            "FQ_CONCURRENCY": str(min(2, os.cpu_count() or 1)),
            "FQ_WEB_WORKERS": "1",
            "FQ_MODEL_DIR": str(REPOSITORY / "models"),
        }
        fixed = {
            "FQ_DATABASE_URL": self.database_url,
            "FQ_REDIS_URL": self.redis.url(),
            "FQ_STORE": f"file://{home.objects}",
            "FQ_STORE_SECRET": self._secrets.store_secret,
            "FQ_PUBLIC_URL": self.addresses.api_url,
            "FQ_WEB_BIND": f"{LOOPBACK}:{ports.get(name, ports['web'])}",
            "FQ_SCRATCH_DIR": str(home.scratch / name),
            "FQ_ALIVE_FILE": str(home.root / f"{name}.alive"),
            "FLOWER_ADDRESS": LOOPBACK,
            "FLOWER_PORT": str(ports["flower"]),
            # in the environment, since arguments are there for every local user to read
            # what it remembers of doorbells, in memory: some minutes of a busy stack
            "FLOWER_MAX_TASKS": "2000",
            "FLOWER_PURGE_OFFLINE_WORKERS": "3600",
            "FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{self._secrets.flower_password}",
            "PROMETHEUS_MULTIPROC_DIR": str(home.root / "metrics" / name),
            "PYTHONUNBUFFERED": "1",
            MARK: self._run_id,
        }
        return {**chosen, **os.environ, **fixed, **self._layout.extra_of(name)}

    def _web(self, name: str) -> Part:
        def launch() -> Child:
            return self._python(name, "gunicorn", "--config", "web/gunicorn.conf.py", "web.wsgi:app")

        return Part(name, launch, lambda _: self._web_is_ready(name), stop_timeout_seconds=25.0)

    def _worker(self, name: str) -> Part:
        return Part(name, lambda: self._python(name, "workers"), self._worker_is_ready, stop_timeout_seconds=25.0)

    def _dispatcher(self, name: str) -> Part:
        return Part(name, lambda: self._python(name, "workers.dispatcher"), lambda _: True)

    def _python(self, name: str, module: str, *arguments: str) -> Child:
        (self._home.root / "metrics" / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        return Child(
            Command(
                name=name,
                argv=[sys.executable, "-m", module, *arguments],
                env=self.environment(name),
                log_path=self._home.logs / f"{name}.log",
                cwd=REPOSITORY,
            )
        )

    def _web_is_ready(self, name: str) -> bool:
        status = _status(self.addresses.ports[name], "/ready")
        return status == http.client.OK

    def _worker_is_ready(self, child: Child) -> bool:
        """Whether a child process of this worker stands in the fleet."""
        from storage.database import Database  # noqa: PLC0415 - heavy, and `status` or `down` need none of it
        from storage.errors import StorageUnavailable  # noqa: PLC0415
        from storage.fleet import Fleet  # noqa: PLC0415

        members = {member.pid for member in group_members(child.pid)}
        database = Database(self.database_url, pool_size=1)
        try:
            return any(row.state == "live" and row.pid in members for row in Fleet(database).list())
        except StorageUnavailable:
            return False
        finally:
            database.close()


def _choose_ports(remembered: Mapping[str, int], webs: Sequence[str], *, random_ports: bool) -> dict[str, int]:
    """A distinct free port for each part that listens: the last one, else the usual one, else any."""
    usual = {} if random_ports else FIRST_PORTS
    chosen: dict[str, int] = {}
    for name in ("postgres", "redis", *webs, "flower"):
        port = free_port(remembered.get(name) or usual.get(name))
        while port in chosen.values():
            port = free_port()
        chosen[name] = port
    return chosen


def _status(port: int, path: str) -> int | None:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=3)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (TimeoutError, OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def empty_folder(path: Path) -> None:
    """Make a folder, without what an earlier start left in it."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700, parents=True)
